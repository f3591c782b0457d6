// The reference of the API: the OpenAPI document with real examples, a way to try each call, and
// the same call for a shell and for Python.
import { get } from "./api.js";

const OPTIONS = {
  docExpansion: "full",
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  validatorUrl: null,
  // What the session's cookie permits only to pages of this server.
  requestInterceptor: (request) => {
    if (request.method !== "GET") request.headers["X-Edgesync-CSRF"] = "1";
    return request;
  },
};

const METHODS = ["get", "put", "post", "patch", "delete"];

/** What a shell types for this call; *example* has its path and body. */
function curlOf(method, example) {
  const lines = [`curl --fail-with-body -H "Authorization: Bearer $EDGESYNC_TOKEN"`];
  if (method !== "get") lines[0] += ` -X ${method.toUpperCase()}`;
  const type = method === "patch" ? "application/merge-patch+json" : "application/json";
  if (example.body !== null) lines.push(`  -H 'Content-Type: ${type}'`, `  -d '${JSON.stringify(example.body).replaceAll("'", "'\\''")}'`);
  lines.push(`  '${location.origin}${example.path}'`);
  return lines.join(" \\\n");
}

const pythonValue = (value) =>
  JSON.stringify(value, null, 4).replace(/("(?:[^"\\]|\\.)*")|\b(true|false|null)\b/g, (whole, text, word) => text || { true: "True", false: "False", null: "None" }[word]);

/** The same in Python, with httpx. */
function pythonOf(method, example) {
  const given = [`"${method.toUpperCase()}"`, `"${location.origin}${example.path}"`, "headers=headers"];
  if (example.body !== null) given.push(`json=${pythonValue(example.body)}`);
  const type = method === "patch" ? ', "Content-Type": "application/merge-patch+json"' : "";
  return [
    "import os, httpx",
    "",
    `headers = {"Authorization": f"Bearer {os.environ['EDGESYNC_TOKEN']}"${type}}`,
    `answer = httpx.request(${given.join(", ")})`,
    "answer.raise_for_status()",
    "print(answer.json())",
  ].join("\n");
}

/** Values of the parameters in *template* as *path* has them: `{name}` and `web`. */
function parametersOf(template, path) {
  const given = path.split("?")[0].split("/");
  const names = template.split("/").map((part, index) => [/^\{(.+)\}$/.exec(part)?.[1], given[index]]);
  return Object.fromEntries(names.filter(([name]) => name));
}

/** Put *example*, a real call of *path* and its answer, into the *operation* of the document. */
function illustrate(operation, method, path, example) {
  const given = parametersOf(path, example.path);
  for (const parameter of operation.parameters) if (parameter.in === "path" && given[parameter.name]) parameter.example = decodeURIComponent(given[parameter.name]);
  const fences = [["sh", curlOf(method, example)], ["python", pythonOf(method, example)]];
  const samples = fences.map(([language, text]) => `\`\`\`${language}\n${text}\n\`\`\``);
  operation.description = [operation.description, ...samples].join("\n\n");
  for (const [type, content] of Object.entries(operation.requestBody?.content || {})) if (type.endsWith("json")) content.example = example.body;
  const answer = operation.responses[String(example.status)]?.content?.["application/json"];
  if (answer) answer.example = example.answer;
}

function operationsOf(document) {
  return Object.entries(document.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method], tag: item[method].tags[0] })));
}

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

/** Mark the link to the call that is shown. */
function markShown() {
  for (const link of document.querySelectorAll("#calls a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Links to all calls, those that have the text of the field in them. */
function fillSidebar(calls) {
  const list = document.getElementById("calls");
  const field = document.getElementById("filter");
  const fill = () => {
    const words = field.value.trim().toLowerCase().split(/\s+/);
    const found = calls.filter((one) => {
      const text = `${one.method} ${one.path} ${one.operation.summary} ${one.tag}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const tags = [...new Set(found.map((one) => one.tag))];
    list.replaceChildren(
      ...tags.map((tag) => {
        const links = found.filter((one) => one.tag === tag).map((one) => {
          const method = element("b", { className: one.method, textContent: one.method.toUpperCase() });
          return element("li", {}, element("a", { href: placeOf(one), title: one.operation.summary }, method, one.path));
        });
        return element("li", {}, element("strong", { textContent: tag }), element("ul", {}, ...links));
      }),
    );
    if (!found.length) list.append(element("li", { textContent: "No call has this in it." }));
    markShown();
  };
  field.addEventListener("input", fill);
  fill();
}

/** The names of the components in *used* that *part* of a document leads to, added to it. */
function addComponents(spec, part, used) {
  for (const [, section, name] of JSON.stringify(part).matchAll(/"\$ref":"#\/components\/([^/"]+)\/([^"]+)"/g)) {
    const place = `${section}/${name}`;
    if (used.has(place)) continue;
    used.add(place);
    addComponents(spec, spec.components[section][name], used);
  }
}

/** The document of one call and what it refers to: the library reads all of a document for each call that it shows. */
function documentOf(spec, { path, method, operation }) {
  const used = new Set();
  addComponents(spec, operation, used);
  const components = { securitySchemes: spec.components.securitySchemes };
  for (const place of used) {
    const [section, name] = place.split("/");
    components[section] = { ...components[section], [name]: spec.components[section][name] };
  }
  return { ...spec, paths: { [path]: { [method]: operation } }, tags: (spec.tags || []).filter((tag) => tag.name === operation.tags[0]), components };
}

const placeOf = ({ tag, operation }) => `#/${tag}/${operation.operationId}`;

/** A function that shows one call in place of the last; what was authorized stays so. */
function viewer(spec) {
  let ui = null;
  return (call) => {
    const reduced = documentOf(spec, call);
    if (ui) ui.specActions.updateSpec(JSON.stringify(reduced));
    else ui = SwaggerUIBundle({ ...OPTIONS, spec: reduced, domNode: document.getElementById("reference") });
    markShown();
    scrollTo(0, 0);
  };
}

function darken() {
  const chosen = document.documentElement.dataset.theme;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const set = () => document.documentElement.classList.toggle("dark-mode", chosen ? chosen === "dark" : system.matches);
  system.addEventListener("change", set);
  set();
}

async function start() {
  darken();
  const [spec, examples, session] = await Promise.all([get("/openapi.json"), get("/dashboard/examples.json"), get("/session")]);
  const caller = session.signedIn ? `Calls are made as ${session.name || "admin.token"} (${session.role}).` : "To try calls, sign in to the dashboard or press Authorize.";
  document.getElementById("caller").textContent = caller;
  const calls = operationsOf(spec);
  for (const { path, method, operation } of calls) {
    const example = examples[`${method.toUpperCase()} ${path}`];
    if (example) illustrate(operation, method, path, example);
  }
  document.getElementById("reference").replaceChildren();
  fillSidebar(calls);
  const show = viewer(spec);
  const follow = () => show(calls.find((call) => placeOf(call) === location.hash) || calls[0]);
  addEventListener("hashchange", follow);
  follow();
}

start().catch((error) => {
  document.getElementById("reference").replaceChildren(element("p", { role: "alert", textContent: `The reference cannot be loaded: ${error.message}` }));
});
