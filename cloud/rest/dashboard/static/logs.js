// Who did what, and which certificates end.
import { html } from "./html.js";
import { get, path } from "./api.js";
import { ago, when } from "./format.js";
import { go, link } from "./route.js";
import { Badge, Changes, Empty, Loaded, Pager, Table, Time, Title, useData, usePages } from "./ui.js";

const SIZE = 50;

const fields = (form) => Object.fromEntries(new FormData(form));

const DONE = "done";
const actor = (entry) => entry.actor.name || entry.actor.kind;

function Entry({ entry }) {
  const parts = new Set([...Object.keys(entry.before || {}), ...Object.keys(entry.after || {})]);
  const changes = [...parts].sort().map((key) => ({ path: key, before: entry.before?.[key], after: entry.after?.[key] }));
  return html`<li>
    <details>
      <summary>
        <${Badge} tone=${entry.outcome === DONE ? "plain" : "bad"}>${entry.action}<//>
        <span class="event-text">${entry.name || html`<span class="quiet">–</span>`} <span class="quiet">by</span> ${actor(entry)}${entry.reason && html` <q>${entry.reason}</q>`}</span>
        <time datetime=${entry.time} title=${when(entry.time)}>${ago(entry.time)}</time>
      </summary>
      <dl class="facts">
        ${[["Entry", entry.number], ["Outcome", entry.outcome], ["Namespace", entry.namespace], ["From", entry.address], ["Request", entry.requestId]]
          .filter(([, value]) => value)
          .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
      </dl>
      ${changes.length > 0 && html`<${Changes} changes=${changes} />`}
    </details>
  </li>`;
}

export function Audit({ query, session }) {
  const { actor: who = "", action = "", name = "" } = query;
  const pages = usePages([who, action, name]);
  const everywhere = session.namespace === "*" && query.namespace === "*" ? "*" : "";
  const state = useData(
    (signal) => get(path("/v1/audit", { actor: who, action, name, namespace: everywhere, limit: SIZE, continue: pages.token }), { signal }),
    [who, action, name, everywhere, pages.token],
  );
  const submit = (event) => {
    event.preventDefault();
    go(["audit"], fields(event.currentTarget));
  };
  return html`
    <${Title}>Audit log<//>
    <form class="filters" onSubmit=${submit}>
      <label>Who <input name="actor" value=${who} spellcheck=${false} /></label>
      <label>Action <input name="action" value=${action} placeholder="app.update" spellcheck=${false} /></label>
      <label>Name <input name="name" value=${name} spellcheck=${false} /></label>
      ${session.namespace === "*" && html`<label class="check"><input type="checkbox" name="namespace" value="*" checked=${everywhere === "*"} /> all namespaces</label>`}
      <button type="submit">Filter</button>
    </form>
    <${Loaded} state=${state} lines=${12} show=${(page) =>
      page.items.length
        ? html`<ol class="events">${page.items.map((entry) => html`<${Entry} key=${entry.number} entry=${entry} />`)}</ol>
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="entry" nouns="entries" />`
        : html`<${Empty} title="Nothing matches." />`} />
    <p class="quiet">To check that no entry was changed: <code>edgesync audit verify</code></p>
  `;
}

const END_COLUMNS = [
  { name: "Node", show: (one) => html`<a href=${link(["nodes", one.node])}>${one.node}</a>` },
  { name: "Ends", show: (one) => html`<span class=${Date.parse(one.notAfter) < Date.now() ? "bad-text" : ""}>${when(one.notAfter)} (${ago(one.notAfter)})</span>` },
  { name: "State", show: (one) => html`<${Badge} tone=${one.ready ? "good" : "bad"}>${one.ready ? "online" : "not online"}<//>` },
  { name: "Last seen", show: (one) => html`<${Time} at=${one.lastSeen} />` },
];
const DAY = 24 * 3600 * 1000;
const SPANS = [["1", "a day"], ["7", "a week"], ["30", "30 days"], ["90", "90 days"]];

export function Certificates({ query }) {
  const days = query.days || "30";
  const pages = usePages([days]);
  // The first page fixes the time: what leads on is good for that list alone.
  const state = useData(async (signal) => {
    const before = pages.number > 1 && state.data ? state.data.before : new Date(Date.now() + Number(days) * DAY).toISOString();
    return { before, page: await get(path("/v1/certificates", { endsBefore: before, limit: SIZE, continue: pages.token }), { signal }) };
  }, [days, pages.token]);
  return html`
    <${Title}>Certificates that end<//>
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <label>Within <select value=${days} onChange=${(event) => go(["certificates"], { days: event.currentTarget.value })}>${SPANS.map(([value, words]) => html`<option key=${value} value=${value}>${words}</option>`)}</select></label>
    </form>
    <p class="quiet">Nodes renew their certificates by themselves when a third of the time is left; nodes that stay on this list fail to renew.</p>
    <${Loaded} state=${state} lines=${8} show=${({ page }) =>
      page.items.length
        ? html`<${Table} caption="Certificates, the first to end first" columns=${END_COLUMNS} items=${page.items} keyOf=${(one) => one.serial} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="certificate" />`
        : html`<${Empty} title="No certificate of a node ends in this time." />`} />
  `;
}
