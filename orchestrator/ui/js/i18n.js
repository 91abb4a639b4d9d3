// The texts of the page in the language that its reader chose.

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

/** Returns a text, its places `{name}` filled in. */
export function t(key, values = {}) {
  const text = texts[language.get()][key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Renders again when another language is chosen. */
export const useLanguage = () => useStore(language);
