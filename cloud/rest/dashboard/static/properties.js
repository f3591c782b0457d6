// The properties of a node: what is wanted beside what it reports, and a dialog that edits the first.
import { html, useState } from "./html.js";
import { get, patch, path } from "./api.js";
import { useLive } from "./live.js";
import { PlanDialog } from "./editor.js";
import { Dialog, Empty, Icon, Loaded, Table, Time, useData } from "./ui.js";
import { labelsPatch } from "./labels.js";

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** A line for each property: wanted, reported, and since when. */
function linesOf({ state, metadata }) {
  const keys = [...new Set([...Object.keys(state.desire), ...Object.keys(state.report)])].sort();
  return keys.map((key) => ({ key, wanted: state.desire[key], reported: state.report[key], at: metadata.report[key] || metadata.desire[key] }));
}

const COLUMNS = [
  { name: "Property", show: (one) => one.key },
  { name: "Wanted", show: (one) => (one.wanted === undefined ? html`<span class="quiet">not set</span>` : text(one.wanted)) },
  {
    name: "Reported",
    show: (one) => (one.reported === undefined ? html`<span class=${one.wanted === undefined ? "quiet" : "warn-text"}>not yet</span>` : html`<span class=${one.wanted !== undefined && one.wanted !== one.reported ? "warn-text" : ""}>${text(one.reported)}</span>`),
  },
  { name: "Since", show: (one) => html`<${Time} at=${one.at} />` },
];

/** Edit the wanted properties *before*; *send(change, query, headers)* plans and sends the change. */
function PropertiesDialog({ name, before, send, onDone, onClose }) {
  const [rows, setRows] = useState([...Object.entries(before), ["", ""]]);
  const [change, setChange] = useState(null);
  const set = (at, column, value) => setRows(rows.map((row, index) => (index === at ? row.map((cell, place) => (place === column ? value : cell)) : row)));
  const review = (event) => {
    event.preventDefault();
    const after = Object.fromEntries(rows.map(([key, value]) => [key.trim(), value]).filter(([key]) => key));
    setChange(labelsPatch(before, after));
  };
  const title = `Properties of ${name}`;
  if (change)
    return html`<${PlanDialog} title=${title} label="Save" send=${(query, headers) => send(change, query, headers)} onDone=${onDone} onClose=${() => setChange(null)} />`;
  return html`<${Dialog} title=${title} onClose=${onClose} wide
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="submit" form="properties-form" class="main">Review</button>`}>
    <form id="properties-form" onSubmit=${review}>
      <p class="quiet">The node is sent them with its next report. Without a name a property is removed.</p>
      <ul class="plain pairs">${rows.map(
        ([key, value], at) => html`<li key=${at} class="pair">
          <input aria-label=${`Name of property ${at + 1}`} value=${key} placeholder="name" spellcheck=${false} autocapitalize="off" onInput=${(event) => set(at, 0, event.currentTarget.value)} />
          <input aria-label=${`Value of property ${at + 1}`} value=${value} placeholder="value" spellcheck=${false} autocapitalize="off" onInput=${(event) => set(at, 1, event.currentTarget.value)} />
          <button type="button" class="bare" aria-label=${`Remove property ${at + 1}`} onClick=${() => setRows(rows.filter((_, index) => index !== at))}><${Icon} name="close" /></button>
        </li>`,
      )}</ul>
      <button type="button" onClick=${() => setRows([...rows, ["", ""]])}><${Icon} name="plus" />Add a property</button>
    </form>
  <//>`;
}

export function Properties({ name, base, mayChange }) {
  const target = `${base}/properties`;
  const state = useData((signal) => get(target, { signal }), [name]);
  const [isOpen, setOpen] = useState(false);
  useLive((event) => event.subject.kind === "node" && event.subject.name === name, state.reload);
  const done = () => {
    setOpen(false);
    state.reload();
  };
  const send = (desire, query, headers) => patch(path(target, query), { state: { desire } }, { headers });
  return html`<section aria-labelledby="properties-title">
    <h2 id="properties-title">Properties</h2>
    <${Loaded} state=${state} lines=${2} show=${(data) => html`
      ${linesOf(data).length
        ? html`<${Table} caption="Properties of the node" columns=${COLUMNS} items=${linesOf(data)} keyOf=${(one) => one.key} />`
        : html`<${Empty} title="No properties"><p>Values that are sent to the node, and that it reports back.</p><//>`}
      ${mayChange && html`<p class="actions start"><button type="button" onClick=${() => setOpen(true)}>Edit properties</button></p>`}
      ${isOpen && html`<${PropertiesDialog} name=${name} before=${data.state.desire} send=${send} onDone=${done} onClose=${() => setOpen(false)} />`}`} />
  </section>`;
}
