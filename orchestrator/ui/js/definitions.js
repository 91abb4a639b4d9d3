// The definitions that the node knows, and the page of one: its graph, its steps and its canonical form.

import { Graph } from "./graph.js";
import { participantName, t } from "./i18n.js";
import { Copy, Empty, Icon, Json, Loaded, html } from "./parts.js";
import { NOTHING, definitionLink, sagasLink, useDefinition, useDefinitions } from "./sagas.js";

// A longer list of steps ends with a number.
const STEPS_SHOWN = 6;

const linked = ({ name, version }) => definitionLink({ definition: name, version });

/** Built-in definitions say so in the language of the page; others have the name of a file, or HTTP. */
const originOf = ({ origin, hash }) => (hash === null ? t("builtIn") : origin);

function Known({ definition }) {
  const isKnown = definition.known_to_all;
  return html`<span class="pill ${isKnown ? "good" : ""}" data-known=${isKnown}><${Icon} name=${isKnown ? "done" : "running"} size="12" />${t(isKnown ? "knownToAll" : "knownToSome")}</span>`;
}

function Row({ definition }) {
  const names = definition.steps.map(({ name }) => name);
  const more = names.length - STEPS_SHOWN;
  return html`<tr data-definition="${definition.name}/${definition.version}">
    <th scope="row" class="d-name"><a href=${linked(definition)}>${definition.name}<span class="version">/${definition.version}</span></a></th>
    <td class="d-known"><${Known} definition=${definition} /></td>
    <td class="d-origin">${originOf(definition)}</td>
    <td class="d-steps">${names.slice(0, STEPS_SHOWN).join(", ")}${more > 0 && ` ${t("moreSteps", { n: more })}`}</td>
    <td class="d-sagas"><a href=${sagasLink({ definition: definition.name })}>${t("itsSagas")}</a></td></tr>`;
}

function List() {
  const { value, error, again } = useDefinitions();
  const heads = ["definition", "known", "origin", "steps", "sagas"];
  return html`<header class="view-head"><div><h1>${t("definitions")}</h1><p class="lead">${t("definitionsAre")}</p></div></header>
    <${Loaded} value=${value} error=${error} again=${again}>${(definitions) => html`<section class="card" data-testid="definitions">
      ${definitions.length === 0 ? html`<${Empty}>${t("noDefinitions")}</${Empty}>` : html`<table class="definitions">
        <thead><tr>${heads.map((head) => html`<th scope="col">${t(head)}</th>`)}</tr></thead>
        <tbody>${definitions.map((definition) => html`<${Row} definition=${definition} key=${linked(definition)} />`)}</tbody></table>`}</section>`}</${Loaded}>`;
}

function Steps({ steps }) {
  return html`<table class="definitions"><thead><tr>${["step", "participant", "after", "kind"].map((head) => html`<th scope="col">${t(head)}</th>`)}</tr></thead>
    <tbody>${steps.map(({ name, participant, after, kind }) => html`<tr key=${name} data-step=${name}><th scope="row">${name}</th>
      <td class="d-side">${participantName(participant)}</td><td class="d-after" data-label=${t("after")}>${after.join(", ") || NOTHING}</td><td class="d-side">${t(`kind_${kind}`)}</td></tr>`)}</tbody></table>`;
}

function Whole({ definition }) {
  const { name, version, hash, steps, body } = definition;
  return html`<header class="view-head"><div><h1>${name}<span class="version">/${version}</span></h1></div><a class="button" href=${sagasLink({ definition: name })}>${t("itsSagas")}</a></header>
    <section class="card"><header><h2>${t("graph")}</h2></header><${Graph} steps=${steps} label=${t("graphOf", { name: `${name}/${version}` })} /></section>
    <div class="card"><dl class="facts">
      <div><dt>${t("origin")}</dt><dd data-testid="origin">${originOf(definition)}</dd></div>
      <div><dt>${t("known")}</dt><dd><${Known} definition=${definition} /></dd></div>
      ${hash && html`<div><dt>${t("hash")}</dt><dd><code title=${hash}>${hash.slice(0, 16)}…</code><${Copy} text=${hash} label=${t("hash")} /></dd></div>`}</dl></div>
    <section class="card" data-testid="definition-steps"><header><h2>${t("stepsInDetail")}</h2></header><${Steps} steps=${steps} /></section>
    <section class="card" data-testid="body"><header><h2>${t("canonical")}</h2><small>${t("canonicalIs")}</small></header>
      ${body ? html`<${Json} value=${body} label=${t("canonical")} />` : html`<p class="note">${t("noBody")}</p>`}</section>`;
}

function One({ name, version }) {
  const { value, error, again } = useDefinition(name, version);
  const isUnknown = error && [404, 422].includes(error.status);
  return html`<p class="crumb"><a href="#/definitions"><${Icon} name="left" />${t("backDefinitions")}</a></p>
    ${isUnknown ? html`<p class="failure" role="alert">${t("noDefinition", { name: `${name}/${version}` })} <a href=${sagasLink({ definition: name })}>${t("itsSagas")}</a></p>`
      : html`<${Loaded} value=${value} error=${error} again=${again}>${(definition) => html`<${Whole} definition=${definition} />`}</${Loaded}>`}`;
}

export function Definitions({ name, version }) {
  return name ? html`<${One} name=${name} version=${version ?? "1"} key="${name}/${version}" />` : html`<${List} />`;
}
