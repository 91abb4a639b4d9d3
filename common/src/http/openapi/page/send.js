
/* The form that sends a request and shows the answer. */
function tryIt(path, method, operation, prefix) {
  const fields = [];
  const form = make("form", "");
  for (const parameter of operation.parameters || []) {
    const input = make("input", "");
    input.required = parameter.required;
    input.placeholder = parameter.required ? "" : "optional";
    fields.push({ parameter, input });
    form.append(make("label", "field", make("span", "", `${parameter.name} (${parameter.in})`), input));
  }
  let body = null;
  if (operation.requestBody) {
    const { example } = operation.requestBody.content["application/json"];
    body = make("textarea", "");
    body.value = JSON.stringify(example, null, 2);
    body.rows = body.value.split("\n").length + 1;
    body.spellcheck = false;
    form.append(make("label", "field", make("span", "", "body"), body));
  }
  let running = null;
  const answer = make("div", "");
  answer.setAttribute("aria-live", "polite");
  form.append(make("button", "", "Send"), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    /* An event stream runs until the next request. */
    if (running) running.abort();
    running = new AbortController();
    answer.replaceChildren(make("p", "quiet", "waiting …"));
    const shown = await send(prefix + path, method, fields, body, running.signal);
    if (shown) answer.replaceChildren(...shown);
  });
  return form;
}

async function send(path, method, fields, body, signal) {
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, input.value);
    else headers.set(parameter.name, input.value);
  }
  const token = document.getElementById("token").value;
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const content = body && body.value.trim() ? body.value : undefined;
  if (content !== undefined) headers.set("Content-Type", "application/json");
  const address = query.size ? `${path}?${query}` : path;
  try {
    const response = await fetch(address, { method, headers, body: content, redirect: "manual", credentials: "omit", signal });
    const shown = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const place = make("pre", "");
    if (isStream(response)) follow(response, place);
    else place.append(pretty(await response.text()));
    return [
      make("p", "", make("span", "status", `${response.status} ${response.statusText}`), ` ${method} ${address}`),
      place,
      make("pre", "quiet", shown),
    ];
  } catch (error) {
    if (signal.aborted) return null;
    return [make("p", "", `No answer: ${error.message}`)];
  }
}

function isStream(response) {
  return (response.headers.get("content-type") || "").startsWith("text/event-stream");
}

/* Appends a stream to the page until it ends. */
async function follow(response, place) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) place.append(piece.value);
  } catch {
    place.append("\n(ended)");
  }
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
