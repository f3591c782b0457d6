// One node: how it stands, what it should run and what it runs, and why these differ.
import { html, useState } from "./html.js";
import { get, patch, path, post, remove, segment } from "./api.js";
import { askNode } from "./ask_node.js";
import { ago, bytes, when } from "./format.js";
import { useLive } from "./live.js";
import { UsagePlot } from "./plots.js";
import { go, link } from "./route.js";
import { Badge, Confirm, Dialog, Empty, Failure, Labels, Loaded, Table, Time, Title, useData, useRepeated } from "./ui.js";
import { PlanDialog } from "./editor.js";
import { EventList, grouped, GROUPED_FROM } from "./events.js";
import { LabelsDialog } from "./labels.js";
import { LogViewer } from "./log_viewer.js";
import { ownLabels } from "./nodes.js";
import { Properties } from "./properties.js";

const APP_COLUMNS = [
  { name: "App", show: (app) => (app.system ? app.name : html`<a href=${link(["apps", app.name])}>${app.name}</a>`) },
  { name: "Wanted", show: (app) => app.wanted ?? html`<span class="quiet">not</span>` },
  { name: "Running", show: (app) => app.running ?? html`<span class="quiet">not</span>` },
  { name: "Outcome", show: (app) => html`<${Badge} word=${app.outcome} />` },
  {
    name: "Why",
    kind: "wide",
    show: (app) => html`<span data-testid=${`why-${app.name}`}>${app.message}${app.cause && !String(app.message).includes(app.cause) ? html` <span class="bad-text">${app.cause}</span>` : ""}</span>`,
  },
  { name: "Sent", show: (app) => html`<${Time} at=${app.toldTime} none="not yet" />` },
];

function Explained({ data }) {
  return html`
    <p class=${`verdict ${data.converged ? "good" : "warn"}`}><${Badge} tone=${data.converged ? "good" : "warn"}>${data.converged ? "converged" : "not converged"}<//> ${data.message}</p>
    ${data.apps.length
      ? html`<${Table} caption="What the node should run and what it runs" columns=${APP_COLUMNS} items=${data.apps} keyOf=${(app) => `${app.system}${app.name}`} />`
      : html`<${Empty} title="No app is for this node."><p>An app is for nodes whose labels match its selector.</p><//>`}
  `;
}

const FACTS = [
  ["Host name", (host) => host.hostname],
  ["Address", (host) => host.address],
  ["Operating system", (host) => host.osImage || host.os],
  ["Architecture", (host) => host.arch],
  ["Kernel", (host) => host.kernelVer],
  ["Container runtime", (host) => host.containerRuntime],
  ["Machine id", (host) => host.machineID],
];

const SECRETS = {
  sealed: "sealed to the node's key",
  plain: "plain text inside TLS: it has no encryption key",
  withheld: "withheld: it has no encryption key, and this server requires sealed secrets",
};

function Facts({ node, stats }) {
  const report = stats?.report;
  const host = report?.node && typeof report.node.hostname !== "object" ? report.node : {};
  const capacity = report?.nodestats?.capacity || {};
  const rows = [
    ["Last report", node.state.lastReport ? html`<${Time} at=${node.state.lastReport} />` : "never"],
    ["Reports every", node.state.interval ? `${Math.round(node.state.interval)} s` : "unknown"],
    ["Connected", node.state.connected === null ? "unknown" : node.state.connected ? "yes" : "no"],
    ["Secrets", SECRETS[node.state.secrets]],
    ...FACTS.map(([name, show]) => [name, show(host)]),
    ["Capacity", [capacity.cpu && `${capacity.cpu} CPU`, capacity.memory && bytes(Number(capacity.memory) || capacity.memory)].filter(Boolean).join(", ")],
    ["Agent", report?.core?.binVersion || report?.core?.version],
    ["Created", html`<${Time} at=${node.createTime} />`],
    ["Labels", html`<${Labels} labels=${ownLabels(node)} most=${20} />`],
  ];
  return html`<dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Certificate({ name }) {
  const state = useData((signal) => get(path("/v1/certificates", { node: name }), { signal }), [name]);
  return html`<${Loaded} state=${state} lines=${2} show=${(page) => {
    const one = page.items.find((item) => item.node === name);
    if (!one) return html`<p class="quiet">It has no valid certificate: it has not been activated, or all were revoked.</p>`;
    const isOver = Date.parse(one.notAfter) < Date.now();
    return html`<dl class="facts">
      <div><dt>${isOver ? "Ended" : "Ends"}</dt><dd class=${isOver ? "bad-text" : ""}>${when(one.notAfter)} (${ago(one.notAfter)})</dd></div>
      <div><dt>Serial number</dt><dd><code class="serial">${one.serial}</code></dd></div>
    </dl>`;
  }} />`;
}

const DEPLOY_COLUMNS = [
  { name: "Deploy", show: (deploy) => `#${deploy.number}` },
  { name: "Outcome", show: (deploy) => html`<${Badge} word=${deploy.outcome || "pending"} />` },
  { name: "Apps", show: (deploy) => deploy.apps.map((app) => `${app.name} v${app.version}`).join(", ") || "none" },
  { name: "Sent", show: (deploy) => html`<${Time} at=${deploy.toldTime} />` },
  { name: "Ended", show: (deploy) => html`<${Time} at=${deploy.endTime} none="not yet" />` },
  { name: "Cause", kind: "wide", show: (deploy) => deploy.cause || "" },
];

function Commands({ name, apps, onClose }) {
  const [command, setCommand] = useState("report");
  const [app, setApp] = useState(apps[0] || "");
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    setAnswer(null);
    try {
      await askNode(name, { command, ...(command === "restart" ? { app } : {}) }, setAnswer, { rounds: 3 });
    } catch (failed) {
      setError(failed);
    }
    setBusy(false);
  };
  return html`
    <${Dialog} title=${`Ask ${name}`} onClose=${onClose} wide>
      <form class="row" onSubmit=${send}>
        <label>What <select value=${command} onChange=${(event) => setCommand(event.currentTarget.value)}>
          <option value="report">To report now</option>${apps.length > 0 && html`<option value="restart">To restart an app</option>`}
        </select></label>
        ${command === "restart" &&
        html`<label>App <select value=${app} onChange=${(event) => setApp(event.currentTarget.value)}>${apps.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></label>`}
        <button type="submit" class="main" disabled=${isBusy}>${isBusy ? "Waiting…" : "Ask"}</button>
      </form>
      ${error && html`<${Failure} error=${error} />`}
      ${answer && html`<p role="status"><${Badge} word=${answer.status} /> ${answer.cause || ""}</p>`}
    <//>
  `;
}

function Seen({ name, node, session, reload }) {
  const base = `/v1/nodes/${segment(name)}`;
  const stats = useData((signal) => get(`${base}/stats`, { signal }), [name]);
  const explain = useData((signal) => get(`${base}/explain`, { signal }), [name]);
  const usage = useData((signal) => get(`${base}/usage`, { signal }), [name]);
  const events = useData((signal) => get(path("/v1/events", { kind: "node", name, limit: GROUPED_FROM }), { signal }), [name]);
  const deploys = useData((signal) => get(`${base}/deploys`, { signal }), [name]);
  const [open, setOpen] = useState("");
  const all = [stats, explain, events, deploys];
  const isMine = (event) => (event.subject.kind === "node" && event.subject.name === name) || event.subject.kind === "app";
  const again = () => {
    reload();
    all.forEach((one) => one.reload());
  };
  useLive(isMine, again);
  // Reports are no events; a node that is looked at is asked for now and then.
  useRepeated(() => [stats, explain, usage].forEach((one) => one.reload()), 15000);
  const canChange = session.role !== "viewer";
  const close = () => setOpen("");
  const apps = (explain.data?.apps || []).filter((app) => app.wanted && !app.system).map((app) => app.name);
  const revoke = async () => {
    await post(`${base}/revoke`);
    close();
    again();
  };
  return html`
    <div class="under-title">
      <p><${Badge} word=${node.state.revoked ? "revoked" : node.state.name} /> ${node.state.reason} <span class="quiet">since <${Time} at=${node.state.since} /></span>${node.description && html`<br />${node.description}`}</p>
      ${canChange && html`<div class="actions">
        <button type="button" onClick=${() => setOpen("logs")}>Logs</button>
        <button type="button" onClick=${() => setOpen("ask")}>Ask the node</button>
        <button type="button" onClick=${() => setOpen("labels")}>Edit labels</button>
        <button type="button" onClick=${() => setOpen("revoke")} disabled=${node.state.revoked}>Revoke</button>
        <button type="button" onClick=${() => setOpen("delete")}>Delete</button>
      </div>`}
    </div>
    <section aria-labelledby="explain-title"><h2 id="explain-title">Wanted and running</h2>
      <${Loaded} state=${explain} lines=${4} show=${(data) => html`<${Explained} data=${data} />`} />
    </section>
    <div class="cards two"><div>
      <section class="card" aria-labelledby="usage-title"><h2 id="usage-title">Usage</h2>
        <${Loaded} state=${usage} lines=${6} show=${(data) =>
          data.items.length ? html`<${UsagePlot} items=${data.items} step=${data.step} />` : html`<${Empty} title="No figures yet"><p>They come with the node's reports.</p><//>`} />
      </section>
      <section class="card" aria-labelledby="timeline-title"><h2 id="timeline-title">Timeline</h2>
        <${Loaded} state=${events} show=${(page) => html`<${EventList} items=${grouped(page.items)} isOfOne most=${12} />`} />
      </section>
      </div><div>
      <section class="card" aria-labelledby="facts-title"><h2 id="facts-title">Facts</h2><${Facts} node=${node} stats=${stats.data} /></section>
      <section class="card" aria-labelledby="certificate-title"><h2 id="certificate-title">Certificate</h2><${Certificate} name=${name} /></section>
    </div></div>
    <${Properties} name=${name} base=${base} mayChange=${canChange} />
    <section aria-labelledby="deploys-title"><h2 id="deploys-title">Deploys</h2>
      <${Loaded} state=${deploys} show=${(page) =>
        page.items.length
          ? html`<${Table} caption="Deploys of the node" columns=${DEPLOY_COLUMNS} items=${page.items.slice(0, 10)} keyOf=${(deploy) => deploy.number} />`
          : html`<${Empty} title="No deploys yet." />`} />
    </section>
    ${open === "labels" && html`<${LabelsDialog} title=${`Labels of ${name}`} labels=${ownLabels(node)} onClose=${close} onDone=${() => { close(); again(); }}
      send=${(labels, query, headers) => patch(path(base, query), { labels }, { headers })} />`}
    ${open === "logs" && html`<${LogViewer} name=${name} apps=${apps} onClose=${close} />`}
    ${open === "ask" && html`<${Commands} name=${name} apps=${apps} onClose=${close} />`}
    ${open === "revoke" && html`<${Confirm} title=${`Revoke ${name}?`} label="Revoke" act=${revoke} onClose=${close} words="Its certificates are revoked and its connection ends now. It stays in the list; to return it has to be activated again." />`}
    ${open === "delete" && html`<${PlanDialog} title=${`Delete node ${name}`} label="Delete" isDanger
      send=${(query, headers) => remove(path(base, query), { headers })} onDone=${() => go(["nodes"], {}, { replace: true })} onClose=${close} />`}
  `;
}

export function Node({ name, session }) {
  const state = useData((signal) => get(`/v1/nodes/${segment(name)}`, { signal }), [name]);
  return html`
    <${Title} above=${{ href: link(["nodes"]), text: "Nodes" }}>${name}<//>
    <${Loaded} state=${state} lines=${10} show=${(node) => html`<${Seen} name=${name} node=${node} session=${session} reload=${state.reload} />`} />
  `;
}
