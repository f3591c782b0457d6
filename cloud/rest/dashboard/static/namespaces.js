// The namespaces that the token may see, and the field that selects one.
import { html, useState } from "./html.js";
import { get, getNamespace, path } from "./api.js";
import { count } from "./format.js";
import { link } from "./route.js";
import { Badge, Loaded, Pager, Table, Title, useData, usePages, useRepeated } from "./ui.js";

const SIZE = 100;
const AGAIN = 30000;
const OFFERED = 500;

/** A number that leads to what it counts, in the namespace *name*. */
const Count = ({ name, value, parts, query = {} }) =>
  value ? html`<a href=${link(parts, { ...query, namespace: name })}>${count(value)}</a>` : html`<span class="quiet">0</span>`;

const counted = (title, parts, value, query) => ({
  name: title,
  kind: "number",
  show: (one) => html`<${Count} name=${one.name} parts=${parts} value=${value(one)} query=${query} />`,
});

const COLUMNS = [
  {
    name: "Namespace",
    show: (one) => html`<a href=${link([], { namespace: one.name })}>${one.name}</a>${one.name === getNamespace() && html` <${Badge} tone="plain">selected<//>`}`,
  },
  counted("Nodes", ["nodes"], (one) => one.nodes.total),
  ...["online", "stale", "offline"].map((state) => counted(state[0].toUpperCase() + state.slice(1), ["nodes"], (one) => one.nodes[state], { state })),
  counted("Never seen", ["nodes"], (one) => one.nodes.never, { state: "never" }),
  counted("Apps", ["apps"], (one) => one.apps),
  counted("Batches", ["batches"], (one) => one.batches),
];

export function Namespaces() {
  const pages = usePages([]);
  const state = useData((signal) => get(path("/v1/namespaces", { limit: SIZE, continue: pages.token }), { signal }), [pages.token]);
  useRepeated(state.reload, AGAIN);
  return html`
    <${Title}>Namespaces<//>
    <p class="quiet">Each has nodes and resources of its own. One is there as soon as something is in it.</p>
    <${Loaded} state=${state} lines=${6} show=${(page) => html`
      <${Table} caption="Namespaces" columns=${COLUMNS} items=${page.items} keyOf=${(one) => one.name} />
      <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="namespace" />`} />
  `;
}

const RANKS = ["viewer", "operator", "admin"];

/** The role of who is signed in, in a namespace. */
export function roleIn(session, namespace) {
  const roles = [session.grants[namespace], session.grants["*"]].filter(Boolean);
  return roles.sort((one, other) => RANKS.indexOf(other) - RANKS.indexOf(one))[0] || "";
}

/** Selects the namespace of all pages, where the token is for more than one. */
export function NamespaceField({ session, onChange }) {
  const [text, setText] = useState(getNamespace());
  const [names, setNames] = useState([]);
  if (session.namespace !== "*") return html`<p class="field-inline"><span>Namespace</span><b>${session.namespace}</b></p>`;
  const submit = (event) => {
    event.preventDefault();
    onChange(text.trim() || session.defaultNamespace);
  };
  const offer = async () => {
    const found = await get(path("/v1/namespaces", { limit: OFFERED })).catch(() => ({ items: [] }));
    setNames(found.items.map((one) => one.name));
  };
  return html`<form class="field-inline" onSubmit=${submit}>
    <label for="namespace">Namespace</label>
    <input id="namespace" list="namespace-names" value=${text} spellcheck=${false} autocapitalize="off" onFocus=${offer} onInput=${(event) => setText(event.currentTarget.value)} onBlur=${submit} />
    <datalist id="namespace-names">${names.map((name) => html`<option key=${name} value=${name}></option>`)}</datalist>
  </form>`;
}
