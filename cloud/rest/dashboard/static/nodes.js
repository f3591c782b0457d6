// All nodes, a page at a time.
import { html, useState } from "./html.js";
import { get, path } from "./api.js";
import { useLive } from "./live.js";
import { go, link } from "./route.js";
import { Badge, Empty, Icon, Labels, Loaded, Pager, Table, Time, Title, useData, usePages } from "./ui.js";

const SIZE = 50;

export const NODE_COLUMNS = [
  { name: "Node", show: (node) => html`<a href=${link(["nodes", node.name])}>${node.name}</a>` },
  { name: "State", show: (node) => html`<${Badge} word=${node.state.revoked ? "revoked" : node.state.name} />` },
  { name: "Last report", show: (node) => html`<${Time} at=${node.state.lastReport} />` },
  { name: "Labels", kind: "wide", show: (node) => html`<${Labels} labels=${ownLabels(node)} />` },
  { name: "Created", show: (node) => html`<${Time} at=${node.createTime} />` },
];

/** Without the label that only repeats the name. */
export function ownLabels(node) {
  return Object.fromEntries(Object.entries(node.labels).filter(([key]) => key !== "baetyl-node-name"));
}

const isName = (text) => /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text);

/** Nodes by their name where that is one, else by selector: one field for both. */
async function search(text, token, signal) {
  const query = { limit: SIZE, continue: token };
  if (isName(text)) {
    const named = await get(path("/v1/nodes", { ...query, fieldSelector: `metadata.name=${text}` }), { signal });
    if (named.total) return named;
  }
  return get(path("/v1/nodes", { ...query, selector: text }), { signal });
}

export function SearchField({ label, hint, value, onSearch }) {
  const [text, setText] = useState(value);
  const submit = (event) => {
    event.preventDefault();
    onSearch(text.trim());
  };
  return html`<form role="search" class="search" onSubmit=${submit}>
    <label for="search">${label}</label>
    <div class="search-row">
      <span class="search-box"><${Icon} name="search" /><input id="search" type="search" value=${text} placeholder=${hint} spellcheck=${false} autocapitalize="off" onInput=${(event) => setText(event.currentTarget.value)} /></span>
      <button type="submit">Search</button>
      ${value && html`<button type="button" onClick=${() => { setText(""); onSearch(""); }}>Clear</button>`}
    </div>
  </form>`;
}

export function Nodes({ query, session }) {
  const wanted = query.q || "";
  const pages = usePages([wanted]);
  const state = useData((signal) => search(wanted, pages.token, signal), [wanted, pages.token]);
  useLive((event) => event.subject.kind === "node", state.reload, 5000);
  return html`
    <${Title} actions=${session.role !== "viewer" && html`<a class="button main" href=${link(["add"])}><${Icon} name="plus" />Add a device</a>`}>Nodes<//>
    <${SearchField} key=${wanted} label="Name or selector" hint="gate-7 or role=gateway, site in (north,south)" value=${wanted} onSearch=${(text) => go(["nodes"], { q: text })} />
    <${Loaded} state=${state} lines=${12} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Nodes" columns=${NODE_COLUMNS} items=${page.items} keyOf=${(node) => node.name} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="node" />`
        : wanted
          ? html`<${Empty} title="No node has this name, and none these labels."><p>A selector is like <code>role=gateway</code>, <code>site in (north,south)</code> or <code>!retired</code>.</p><//>`
          : html`<${Empty} title="No node yet"><p><a href=${link(["add"])}>Add a device</a>: one command brings a machine in. To try it out: <code>edgesync sim --count 3 --batch BATCH</code></p><//>`} />
  `;
}
