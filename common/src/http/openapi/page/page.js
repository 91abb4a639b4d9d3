
/* A list of parameters or headers with their descriptions. */
function described(entries) {
  const list = make("dl", "");
  for (const { name, place, schema, description, required } of entries) {
    list.append(make("dt", "", make("code", "", name), make("span", "kind", [place, kindOf(schema)].filter(Boolean).join(", ")),
      required ? make("span", "needed", "required") : null));
    list.append(make("dd", "", ...text(description)));
  }
  return list;
}

function whoMay(operation) {
  const ways = (operation.security || []).map((way) => Object.keys(way)[0] || "none");
  const tokens = ways.filter((way) => way !== "none");
  if (!tokens.length) return "No token required.";
  const open = tokens.length < ways.length;
  return `Token: ${tokens.join(" or ")}${open ? "; optional in the current configuration" : ""}.`;
}

function answers(operation) {
  const list = make("dl", "");
  for (const [status, given] of Object.entries(operation.responses)) {
    const answer = resolve(given);
    const headers = Object.entries(answer.headers || {}).map(([name, header]) => ({ name, ...header }));
    const detail = make("dd", "", headers.length ? described(headers) : null);
    for (const [type, content] of Object.entries(answer.content || {})) {
      const inner = members(content.schema);
      const shown = make("details", "", make("summary", "", `${type} ${nameOf(content.schema)}`), inner);
      detail.append(inner ? shown : make("p", "", type));
    }
    list.append(make("dt", "", make("span", "status", status), " ", ...text(answer.description)), detail);
  }
  return list;
}

function fill(place, path, method, operation, prefix) {
  const section = (title, content) => content && place.append(make("h3", "", title), content);
  if (operation.description) place.append(make("p", "", ...text(operation.description)));
  place.append(make("p", "quiet", whoMay(operation)));
  const parameters = (operation.parameters || []).map((parameter) => ({ ...parameter, place: parameter.in }));
  if (parameters.length) section("Parameters", described(parameters));
  if (operation.requestBody) {
    const { schema } = operation.requestBody.content["application/json"];
    section(operation.requestBody.required ? "Body" : "Body (optional)", members(schema));
  }
  section("Answers", answers(operation));
  section("Try it", tryIt(path, method, operation, prefix));
}

function route(path, method, operation, prefix) {
  const inside = make("div", "");
  const line = make("summary", "", make("span", `method ${method}`, method), make("span", "path", path),
    make("span", "quiet", ...text(operation.summary)));
  const whole = make("details", "route", line, inside);
  whole.id = operation.operationId;
  whole.dataset.words = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  /* Filled when opened, since most are never opened. */
  whole.addEventListener("toggle", () => {
    if (whole.open && !inside.hasChildNodes()) fill(inside, path, method, operation, prefix);
  });
  return whole;
}

function find(word) {
  for (const whole of document.querySelectorAll("details.route")) {
    whole.classList.toggle("hidden", !whole.dataset.words.includes(word.trim().toLowerCase()));
  }
}

async function show() {
  const prefix = document.body.dataset.prefix;
  const routes = document.getElementById("routes");
  try {
    const response = await fetch(`${prefix}/openapi.json`);
    if (!response.ok) throw new Error(`status ${response.status}`);
    api = await response.json();
  } catch (error) {
    routes.replaceChildren(make("p", "", `The description could not be loaded: ${error.message}`));
    return;
  }
  document.title = api.info.title;
  document.getElementById("title").replaceChildren(api.info.title, make("span", "kind", api.info.version));
  const about = api.info.description.split("\n\n").map((paragraph) => make("p", "", ...text(paragraph)));
  document.getElementById("about").replaceWith(...about);
  routes.replaceChildren();
  for (const tag of api.tags) {
    const section = make("section", "", make("h2", "", tag.name), make("p", "quiet", ...text(tag.description)));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) section.append(route(path, method.toUpperCase(), operation, prefix));
      }
    }
    routes.append(section);
  }
  /* Enter in this form must not reload the page. */
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("find").addEventListener("input", (event) => find(event.target.value));
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) wanted.open = true;
}

show();
