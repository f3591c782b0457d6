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

const STATES = [["online", "online"], ["stale", "stale"], ["offline", "offline"], ["never", "never seen"]];
const DEPLOYS = [["converged", "up to date"], ["pending", "pending"], ["failed", "failed"], ["rolledBack", "rolled back"]];

/** Whether *text* can be a part of a name; else it is a selector. */
export const isPartOfName = (text) => /^[-a-z0-9.]+$/.test(text);

/** The field selector of what was chosen, and of *text* where that is a part of a name. */
export function fieldsOf({ q: text = "", state, deploy, field }) {
  const terms = [
    text && isPartOfName(text) && `metadata.name=*${text}*`,
    state && `status.state=${state}`,
    deploy && `status.deploy=${deploy}`,
    field,
  ];
  return terms.filter(Boolean).join(",");
}

/** A page of the nodes that were asked for: text is a part of the name, or a selector of labels. */
function search(query, token, signal) {
  const text = query.q || "";
  const selector = isPartOfName(text) ? "" : text;
  return get(path("/v1/nodes", { limit: SIZE, continue: token, selector, fieldSelector: fieldsOf(query) }), { signal });
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

const Choice = ({ label, name, value, choices, onChoose }) => html`
  <label>${label} <select name=${name} value=${value || ""} onChange=${(event) => onChoose({ [name]: event.currentTarget.value })}>
    <option value="">all</option>${choices.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}
  </select></label>
`;

export function Nodes({ query, session }) {
  const asked = { q: query.q || "", state: query.state || "", deploy: query.deploy || "", field: query.field || "" };
  const keys = Object.values(asked);
  const isFiltered = keys.some(Boolean);
  const pages = usePages(keys);
  const state = useData((signal) => search(asked, pages.token, signal), [...keys, pages.token]);
  const choose = (part) => go(["nodes"], { ...asked, ...part });
  useLive((event) => event.subject.kind === "node", state.reload, 5000);
  return html`
    <${Title} actions=${session.role !== "viewer" && html`<a class="button main" href=${link(["add"])}><${Icon} name="plus" />Add a device</a>`}>Nodes<//>
    <${SearchField} key=${asked.q} label="Part of the name, or selector" hint="gate-7 or role=gateway, site in (north,south)" value=${asked.q} onSearch=${(text) => choose({ q: text })} />
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} label="State" name="state" value=${asked.state} choices=${STATES} onChoose=${choose} />
      <${Choice} label="Apps" name="deploy" value=${asked.deploy} choices=${DEPLOYS} onChoose=${choose} />
      ${asked.field && html`<p class="labels"><span class="label">${asked.field}</span></p>`}
      ${isFiltered && html`<button type="button" onClick=${() => go(["nodes"])}>Show all</button>`}
    </form>
    <${Loaded} state=${state} lines=${12} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Nodes" columns=${NODE_COLUMNS} items=${page.items} keyOf=${(node) => node.name} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="node" />`
        : isFiltered
          ? html`<${Empty} title="No node matches."><p>A selector is like <code>role=gateway</code>, <code>site in (north,south)</code> or <code>!retired</code>.</p><//>`
          : html`<${Empty} title="No node yet"><p><a href=${link(["add"])}>Add a device</a>: one command brings a machine in. To try it out: <code>edgesync sim --count 3 --batch BATCH</code></p><//>`} />
  `;
}
