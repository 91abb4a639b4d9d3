
"use strict";

/* Makes an element. Children are text or elements, never markup. */
function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/* Text with its `code` parts as elements. */
function text(source) {
  const parts = String(source || "").split("`");
  return parts.map((part, index) => (index % 2 ? make("code", "", part) : part));
}

let api = null;

/* Follows a $ref into the document. */
function resolve(thing) {
  while (thing && thing.$ref) {
    const path = thing.$ref.slice(2).split("/");
    thing = { ...path.reduce((place, step) => place[step], api), ...(thing.description && { description: thing.description }) };
  }
  return thing || {};
}

function nameOf(schema) {
  return schema && schema.$ref ? schema.$ref.split("/").pop() : "";
}

/* Describes the values that a schema allows in one line. */
function kindOf(schema) {
  const full = resolve(schema);
  const choices = full.oneOf || full.anyOf;
  if (choices) return [...new Set(choices.map(kindOf))].join(" or ");
  const types = [].concat(full.type || "anything");
  const main = types.filter((type) => type !== "null").join(" or ") || "null";
  const words = [main === "array" ? `list of ${kindOf(full.items)}` : nameOf(schema) || full.format || main];
  if (full.enum) words.push(full.enum.map((value) => JSON.stringify(value)).join(", "));
  if (full.minLength !== undefined || full.maxLength !== undefined) {
    words.push(`${full.minLength || 0} to ${full.maxLength === undefined ? "any number of" : full.maxLength} characters`);
  }
  if (full.exclusiveMinimum !== undefined) words.push(`greater than ${full.exclusiveMinimum}`);
  if (full.minimum !== undefined) words.push(`at least ${full.minimum}`);
  if (full.maximum !== undefined) words.push(`at most ${full.maximum}`);
  if (full.pattern) words.push(full.pattern);
  if (types.length > 1 && types.includes("null")) words.push("or null");
  return words.join(" ");
}

/* The description of a schema; of a choice with null, that of the other schema. */
function aboutOf(schema) {
  const full = resolve(schema);
  return full.description || (full.oneOf || []).map(aboutOf).find(Boolean);
}

/* The schema that has the members: the schema itself, the items of a list, or the object of a choice. */
function membersOf(schema) {
  const full = resolve(schema);
  if (full.items) return membersOf(full.items);
  const choice = (full.oneOf || full.anyOf || []).find((one) => resolve(one).properties);
  if (choice) return membersOf(choice);
  return { name: nameOf(schema), full };
}

/* Lists the members of a schema and their members; `above` stops at recursive schemas. */
function members(schema, above = []) {
  const { name, full } = membersOf(schema);
  if (!full.properties || above.includes(name)) return null;
  const list = make("dl", "");
  for (const [member, its] of Object.entries(full.properties)) {
    const needed = (full.required || []).includes(member);
    list.append(make("dt", "", make("code", "", member), make("span", "kind", kindOf(its)),
      needed ? make("span", "needed", "required") : null));
    const about = aboutOf(its);
    const inner = members(its, [...above, name]);
    if (about || inner) list.append(make("dd", "", ...text(about), inner));
  }
  if (full.additionalProperties && full.additionalProperties !== true) {
    const its = full.additionalProperties;
    list.append(make("dt", "", "any other name", make("span", "kind", kindOf(its))));
    const inner = members(its, [...above, name]);
    if (inner) list.append(make("dd", "", inner));
  }
  return list;
}
