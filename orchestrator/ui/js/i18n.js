// The texts of the page in the chosen language.

import { createStore, local, remember, remembered, useStore } from "./store.js";
import english from "./text.en.js";
import spanish from "./text.es.js";

const KEY = "ecommerce-saga-language";
const texts = { en: english, es: spanish };

export const languages = { en: "English", es: "Español" };

const preferred = () => (navigator.language || "").slice(0, 2).toLowerCase();
const chosen = remembered(local, KEY, preferred());
export const language = createStore(chosen in texts ? chosen : "en");
document.documentElement.lang = language.get();

export function setLanguage(value) {
  remember(local, KEY, value);
  document.documentElement.lang = value;
  language.set(value);
}

/** Returns a text with its placeholders `{name}` filled in. */
export function t(key, values = {}) {
  const text = texts[language.get()][key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Returns the name of a participant or service: its text `service_<name>`, else the name itself. */
export function participantName(name) {
  const key = `service_${name}`;
  return texts[language.get()][key] ?? english[key] ?? name;
}

/** Renders the component again when the language changes. */
export const useLanguage = () => useStore(language);
