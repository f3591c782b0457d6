// A namespace at a glance.
import { html } from "./html.js";
import { get, path } from "./api.js";
import { Bar, Legend, Ring } from "./charts.js";
import { count, percent, plural } from "./format.js";
import { useLive } from "./live.js";
import { link, nodesOf } from "./route.js";
import { Badge, Empty, Loaded, Table, Time, Title, useData, useRepeated } from "./ui.js";
import { RunningRollouts } from "./rollouts.js";
import { Trends } from "./trends.js";
import { EventList, grouped, GROUPED_FROM } from "./events.js";

const SHOWN_VERSIONS = 3;
const AGAIN = 30000;

const progressParts = (one) => [
  { name: "running it", value: one.running ?? one.converged, tone: "good" },
  { name: "on the way", value: one.pending, tone: "warn" },
  { name: "failed", value: one.failed, tone: "bad" },
];

/** What needs attention, problems first, each with a link to it; *data* is the overview. */
function attention({ apps, nodes, certificates, refused }) {
  return [
    ...apps
      .filter((app) => app.failed)
      .map((app) => ({ key: `app/${app.name}`, tone: "bad", to: nodesOf(app.name, "failed"), words: `${app.name} failed on ${plural(app.failed, "node")}` })),
    nodes.offline && { key: "offline", tone: "bad", to: link(["nodes"], { state: "offline" }), words: `${plural(nodes.offline, "node")} offline` },
    nodes.stale && { key: "stale", tone: "warn", to: link(["nodes"], { state: "stale" }), words: `${plural(nodes.stale, "node")} late with reports` },
    ...refused.map((one) => ({ key: `refused/${one.batch}`, tone: "warn", to: link(["batches", one.batch]), words: `batch ${one.batch} refused ${plural(one.devices, "device")}` })),
    certificates.ended && { key: "ended", tone: "bad", to: link(["certificates"], { days: "1" }), words: `${plural(certificates.ended, "certificate")} expired` },
    certificates.day && { key: "day", tone: "warn", to: link(["certificates"], { days: "1" }), words: `${plural(certificates.day, "certificate")} expires within a day`.replace("s expires", "s expire") },
  ]
    .filter(Boolean)
    .sort((one, other) => (one.tone === "warn") - (other.tone === "warn"));
}

function Attention({ data }) {
  const items = attention(data);
  if (!items.length) return null;
  return html`<section class="card" aria-labelledby="attention-title">
    <h2 id="attention-title">Needs attention</h2>
    <ul class="plain attention">${items.map((one) => html`<li key=${one.key}><${Badge} tone=${one.tone}>${one.tone === "bad" ? "problem" : "warning"}<//> <a href=${one.to}>${one.words}</a></li>`)}</ul>
  </section>`;
}

function LastChange({ change }) {
  if (!change)
    return html`<${Empty} title="No app yet"><p>Describe one, with a selector of its nodes.</p><p><a href=${link(["apps", "+"])}>Create an app</a>, or <code>edgesync apply -f app.yaml</code></p><//>`;
  const parts = progressParts(change);
  const done = change.selected > 0 && change.converged === change.selected;
  return html`
    <p class="lead"><a href=${link(["apps", change.app])}>${change.app}</a> <span class="quiet">version ${change.version}, <${Time} at=${change.time} /></span></p>
    <p class="figure" data-testid="convergence">${change.selected ? `${percent(change.converged, change.selected)} %` : "–"}<span>${change.selected ? (done ? "all nodes run it" : `${count(change.converged)} of ${plural(change.selected, "node")}`) : "its selector matches no node"}</span></p>
    <${Bar} parts=${parts} label=${`Convergence of ${change.app}`} />
    <${Legend} parts=${parts} />
  `;
}

function Versions({ app }) {
  const wanted = app.versions.find((one) => one.version === app.version);
  const others = app.versions.filter((one) => one !== wanted);
  const shown = [...(wanted ? [wanted] : []), ...others].slice(0, SHOWN_VERSIONS);
  const left = app.versions.length - shown.length;
  if (!shown.length) return html`<span class="quiet">none yet</span>`;
  return html`<span class="labels versions">
    ${shown.map((one) => html`<span key=${one.version} class=${`label ${one.version === app.version ? "is-wanted" : ""}`}>v${one.version} <b>${count(one.nodes)}</b></span>`)}
    ${left > 0 && html`<span class="quiet">and ${left} more</span>`}
  </span>`;
}

const COLUMNS = [
  { name: "App", show: (app) => html`<a href=${link(["apps", app.name])}>${app.name}</a>` },
  { name: "Version", show: (app) => app.version },
  { name: "Nodes", kind: "number", show: (app) => count(app.selected) },
  {
    name: "Progress",
    kind: "wide",
    show: (app) => html`<span class="progress"><${Bar} parts=${progressParts(app)} label=${app.name} /><span>${percent(app.running, app.selected)} %</span></span>`,
  },
  { name: "Failed", kind: "number", show: (app) => (app.failed ? html`<a class="bad-text" href=${nodesOf(app.name, "failed")}>${count(app.failed)}</a>` : "0") },
  { name: "In the field", show: (app) => html`<${Versions} app=${app} />` },
];

function Seen({ data, events }) {
  const { nodes, certificates } = data;
  const states = [
    { name: "online", value: nodes.online, tone: "good", to: link(["nodes"], { state: "online" }) },
    { name: "stale", value: nodes.stale, tone: "warn", to: link(["nodes"], { state: "stale" }) },
    { name: "offline", value: nodes.offline, tone: "bad", to: link(["nodes"], { state: "offline" }) },
    { name: "never seen", value: nodes.never, tone: "none", to: link(["nodes"], { state: "never" }) },
  ];
  return html`
    <${Attention} data=${data} />
    <${RunningRollouts} />
    <div class="cards">
      <section class="card" aria-labelledby="card-nodes">
        <h2 id="card-nodes">Nodes</h2>
        ${nodes.total
          ? html`<div class="ring-row"><${Ring} parts=${states} figure=${count(nodes.total)} caption=${nodes.total === 1 ? "node" : "nodes"} label="Nodes by state" /><${Legend} parts=${states} /></div>`
          : html`<${Empty} title="No node yet"><p><a href=${link(["add"])}>Add a device</a>: one command brings a machine in.</p><//>`}
      </section>
      <section class="card" aria-labelledby="card-change">
        <h2 id="card-change">Last change</h2>
        <${LastChange} change=${data.lastChange} />
      </section>
      <section class="card" aria-labelledby="card-more">
        <h2 id="card-more">Activity</h2>
        <dl class="facts">
          <div><dt>Activated, last hour</dt><dd>${count(activations(data).hour)}</dd></div>
          <div><dt>Activated, last day</dt><dd>${count(activations(data).day)}</dd></div>
          <div><dt>Pending updates</dt><dd>${count(data.waiting)}</dd></div>
          <div><dt>Pending callbacks</dt><dd>${count(data.deliveries)}</dd></div>
        </dl>
      </section>
      <section class="card" aria-labelledby="card-certificates">
        <h2 id="card-certificates"><a href=${link(["certificates"])}>Certificates</a></h2>
        <dl class="facts">
          <div class=${certificates.ended ? "bad-text" : ""}><dt>Ended</dt><dd>${count(certificates.ended)}</dd></div>
          <div class=${certificates.day ? "warn-text" : ""}><dt>End within a day</dt><dd>${count(certificates.day)}</dd></div>
          <div><dt>End within a week</dt><dd>${count(certificates.week)}</dd></div>
          <div><dt>End within a month</dt><dd>${count(certificates.month)}</dd></div>
        </dl>
      </section>
    </div>
    <${Trends} hasNodes=${nodes.total > 0} />
    <section aria-labelledby="apps-title">
      <h2 id="apps-title">Apps in the field</h2>
      ${data.apps.length
        ? html`<${Table} caption="Apps, changed last first" columns=${COLUMNS} items=${data.apps} keyOf=${(app) => app.name} />`
        : html`<${Empty} title="Nothing is to run yet"><p><a href=${link(["apps", "+"])}>Create an app</a>, or <code>edgesync apply -f DIRECTORY</code></p><//>`}
    </section>
    <section aria-labelledby="events-title">
      <h2 id="events-title">Latest events</h2>
      <${Loaded} state=${events} lines=${4} show=${(page) => html`<${EventList} items=${grouped(page.items)} most=${8} />
        <p><a href=${link(["events"])}>All events</a></p>`} />
    </section>
  `;
}

const activations = (data) => data.activations || { hour: 0, day: 0 };

export function Overview() {
  const state = useData((signal) => get("/v1/overview", { signal }), []);
  const events = useData((signal) => get(path("/v1/events", { limit: GROUPED_FROM }), { signal }), []);
  useLive(() => true, () => { state.reload(); events.reload(); });
  // States also change with time, without an event.
  useRepeated(state.reload, AGAIN);
  return html`<${Title}>Overview<//><${Loaded} state=${state} lines=${12} show=${(data) => html`<${Seen} data=${data} events=${events} />`} />`;
}
