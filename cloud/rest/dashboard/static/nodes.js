// All nodes, a page at a time: found, sorted, and labelled in bulk.
import { html, useState } from "./html.js";
import { get, path } from "./api.js";
import { bytes, plural } from "./format.js";
import { LabelNodes } from "./label_nodes.js";
import { useLive } from "./live.js";
import { go, link } from "./route.js";
import { Badge, Empty, Icon, Labels, Loaded, Pager, Table, Time, Title, useData, usePages, usePicks } from "./ui.js";

const SIZE = 50;
const FULL = 0.9;

/** How many of its apps run, in words too where that is not all. */
function Apps({ apps }) {
  if (!apps.wanted) return html`<span class="quiet">none</span>`;
  const tone = apps.failed ? "bad-text" : apps.running < apps.wanted ? "warn-text" : "";
  return html`<span class=${tone}>${apps.running}/${apps.wanted}${apps.failed ? html` <span class="remark">${apps.failed} failed</span>` : ""}</span>`;
}

const Share = ({ part, used }) =>
  part === null ? html`<span class="quiet">–</span>` : html`<span class=${part >= FULL ? "warn-text" : ""} title=${used}>${Math.round(100 * part)} %</span>`;

const NODE_COLUMNS = [
  { name: "Node", sort: "name", show: (node) => html`<a href=${link(["nodes", node.name])} title=${node.name}>${node.name}</a>` },
  { name: "State", sort: "state", show: (node) => html`<${Badge} word=${node.state.revoked ? "revoked" : node.state.name} />` },
  { name: "Apps", show: (node) => html`<${Apps} apps=${node.status.apps} />` },
  { name: "Agent", show: (node) => node.status.agent },
  { name: "Address", show: (node) => node.status.address },
  { name: "CPU", kind: "number", sort: "cpu", isDownFirst: true, show: ({ status: { usage } }) => html`<${Share} part=${usage.cpuPercent} used=${usage.cpu === null ? "" : `${usage.cpu} cores`} />` },
  { name: "Memory", kind: "number", sort: "memory", isDownFirst: true, show: ({ status: { usage } }) => html`<${Share} part=${usage.memoryPercent} used=${bytes(usage.memory)} />` },
  { name: "Last seen", sort: "lastSeen", isDownFirst: true, show: (node) => html`<${Time} at=${lastSeen(node.state)} />` },
  { name: "Labels", kind: "wide", show: (node) => html`<${Labels} labels=${ownLabels(node)} most=${2} />` },
];

const lastSeen = ({ lastReport, lastStats }) => (lastStats && lastStats > lastReport ? lastStats : lastReport);

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

const ORDERS = [["", "oldest first"], ["-created", "newest first"], ["name", "name"], ["state", "worst first"], ["-lastSeen", "seen last"], ["lastSeen", "seen longest ago"], ["-cpu", "most CPU"], ["-memory", "most memory"]];

/** Label and field selector of what was asked for: text is a part of the name, or a selector of labels. */
const filterOf = (query) => ({ selector: isPartOfName(query.q) ? "" : query.q, fieldSelector: fieldsOf(query) });

const search = (query, token, signal) =>
  get(path("/v1/nodes", { limit: SIZE, continue: token, ...filterOf(query), sort: query.sort, include: "status" }), { signal });

/** What is done with the nodes that are ticked, or with all that match. */
function Picked({ picks, total, filter, onDone }) {
  const [target, setTarget] = useState(null);
  const names = [...picks.names];
  const isFiltered = filter.selector || filter.fieldSelector;
  const done = () => {
    setTarget(null);
    picks.clear();
    onDone();
  };
  return html`
    <div class="picked" role="group" aria-label="Selected nodes">
      <b role="status">${plural(names.length, "node")} selected</b>
      <button type="button" class="main" onClick=${() => setTarget({ body: { names }, count: names.length })}>Labels…</button>
      ${total > names.length && html`<button type="button" onClick=${() => setTarget({ body: isFiltered ? filter : { fieldSelector: "metadata.name=*" }, count: total })}>Labels of all ${plural(total, "node")}…</button>`}
      <button type="button" class="bare" onClick=${picks.clear}>Clear</button>
    </div>
    ${target && html`<${LabelNodes} ...${target} onDone=${done} onClose=${() => setTarget(null)} />`}
  `;
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

const Choice = ({ label, name, value, choices, onChoose, all = "all" }) => html`
  <label>${label} <select name=${name} value=${value || ""} onChange=${(event) => onChoose({ [name]: event.currentTarget.value })}>
    ${all && html`<option value="">${all}</option>`}${choices.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}
  </select></label>
`;

export function Nodes({ query, session }) {
  const asked = { q: query.q || "", state: query.state || "", deploy: query.deploy || "", field: query.field || "" };
  const sort = query.sort || "";
  const keys = Object.values(asked);
  const isFiltered = keys.some(Boolean);
  const pages = usePages([...keys, sort]);
  const picks = usePicks(keys);
  const state = useData((signal) => search({ ...asked, sort }, pages.token, signal), [...keys, sort, pages.token]);
  const choose = (part) => go(["nodes"], { ...asked, sort, ...part });
  const order = (next) => choose({ sort: next });
  const canChange = session.role !== "viewer";
  // One that was chosen by the head of a column, and is none of those that the field offers.
  const orders = ORDERS.some(([key]) => key === sort) ? ORDERS : [...ORDERS, [sort, sort]];
  useLive((event) => event.subject.kind === "node", state.reload, 5000);
  return html`
    <${Title} actions=${canChange && html`<a class="button main" href=${link(["add"])}><${Icon} name="plus" />Add a device</a>`}>Nodes<//>
    <${SearchField} key=${asked.q} label="Part of the name, or selector" hint="gate-7 or role=gateway, site in (north,south)" value=${asked.q} onSearch=${(text) => choose({ q: text })} />
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} label="State" name="state" value=${asked.state} choices=${STATES} onChoose=${choose} />
      <${Choice} label="Apps" name="deploy" value=${asked.deploy} choices=${DEPLOYS} onChoose=${choose} />
      <${Choice} label="Order" name="sort" value=${sort} choices=${orders} onChoose=${choose} all="" />
      ${asked.field && html`<p class="labels"><span class="label">${asked.field}</span></p>`}
      ${isFiltered && html`<button type="button" onClick=${() => go(["nodes"], { sort })}>Show all</button>`}
    </form>
    <${Loaded} state=${state} lines=${12} show=${(page) =>
      page.items.length
        ? html`${picks.names.size > 0 && html`<${Picked} picks=${picks} total=${page.total} filter=${filterOf(asked)} onDone=${state.reload} />`}
            <${Table} caption="Nodes" columns=${NODE_COLUMNS} items=${page.items} keyOf=${(node) => node.name} sort=${sort || "created"} onSort=${order} picks=${canChange ? picks : undefined} isDense=${true} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="node" />`
        : isFiltered
          ? html`<${Empty} title="No node matches."><p>A selector is like <code>role=gateway</code>, <code>site in (north,south)</code> or <code>!retired</code>.</p><//>`
          : html`<${Empty} title="No node yet"><p><a href=${link(["add"])}>Add a device</a>: one command brings a machine in. To try it out: <code>edgesync sim --count 3 --batch BATCH</code></p><//>`} />
  `;
}
