// Rollouts: how far each is, on which nodes it waits, and what to do about it.
import { html, useState } from "./html.js";
import { get, path, post, segment } from "./api.js";
import { Bar, Legend } from "./charts.js";
import { count, plural } from "./format.js";
import { EventList } from "./events.js";
import { go, link } from "./route.js";
import { Badge, Confirm, Empty, Failure, Loaded, Pager, Table, Time, Title, useData, usePages, useRepeated } from "./ui.js";

const SIZE = 50;
const AGAIN = 1500;
const EVENTS = 20;

const OPEN = new Set(["scheduled", "running", "paused", "waitingForApproval", "rollingBack"]);
const TONES = { running: "warn", rollingBack: "warn", waitingForApproval: "warn", paused: "warn", scheduled: "plain", done: "good", failed: "bad", rolledBack: "bad", aborted: "bad", superseded: "plain" };
const STATES = [
  ["updated", "updated", "good"],
  ["sent", "under way", "warn"],
  ["admitted", "admitted", "warn"],
  ["offered", "offered", "warn"],
  ["failed", "failed", "bad"],
  ["returning", "returning", "warn"],
  ["returned", "returned", "none"],
  ["skipped", "skipped", "none"],
  ["waiting", "waiting", "none"],
];
/** Nodes without an assignment are in no list. */
const LISTED = new Set(STATES.map(([state]) => state).filter((state) => state !== "waiting"));

const isOpen = (rollout) => OPEN.has(rollout.state);
const words = (state) => state.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
const pageOf = (rollout, query) => link(["rollouts", rollout.name], query);

const State = ({ rollout }) => html`<${Badge} tone=${TONES[rollout.state]}>${words(rollout.state)}<//>`;

const COLUMNS = [
  { name: "Rollout", show: (one) => html`<a href=${pageOf(one)}>${one.name}</a>` },
  { name: "App", show: (one) => html`<a href=${link(["apps", one.app])}>${one.app}</a>` },
  { name: "Version", show: (one) => `${one.base || "none"} → ${one.target}` },
  { name: "State", show: (one) => html`<${State} rollout=${one} />` },
  { name: "Stage", show: (one) => one.stage },
  { name: "Began", show: (one) => html`<${Time} at=${one.createTime} />` },
  { name: "Cause", kind: "wide", show: (one) => one.cause },
];

/** The rollouts that go on now, for the overview; nothing where there are none. */
export function RunningRollouts() {
  const state = useData((signal) => get(path("/v1/rollouts", { open: true }), { signal }), []);
  useRepeated(state.reload, 2 * AGAIN);
  const items = state.data?.items || [];
  if (!items.length) return null;
  return html`<section aria-labelledby="running-title">
    <h2 id="running-title">Rollouts under way</h2>
    <${Table} caption="Rollouts under way" columns=${COLUMNS} items=${items} keyOf=${(one) => one.name} />
  </section>`;
}

export function Rollouts() {
  const pages = usePages([]);
  const state = useData((signal) => get(path("/v1/rollouts", { limit: SIZE, continue: pages.token }), { signal }), [pages.token]);
  useRepeated(state.reload, 2 * AGAIN);
  return html`<${Title}>Rollouts<//>
    <${Loaded} state=${state} lines=${6} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Rollouts" columns=${COLUMNS} items=${[...page.items].reverse()} keyOf=${(one) => one.name} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions?.continue }} noun="rollout" />`
        : html`<${Empty} title="No rollout yet"><p>A <a href=${link(["rolloutpolicies", "+"])}>policy</a> brings new versions of its apps to nodes in stages.</p><//>`} />`;
}

/** Which actions a rollout in that state takes: verb, label, whether it is the usual one, and what it does. */
const ACTIONS = [
  ["approve", "Approve", ["waitingForApproval"], "The next stage begins."],
  ["resume", "Resume", ["paused"], "Further nodes are admitted; failed ones have another deadline."],
  ["pause", "Pause", ["scheduled", "running", "waitingForApproval"], "No further node is admitted until the rollout is resumed."],
  ["promote", "Next stage now", ["running", "paused"], "The next stage begins at once, and failures so far are accepted."],
  ["abort", "Stop here", ["scheduled", "running", "paused", "waitingForApproval", "rollingBack"], "The rollout ends. Each node keeps the version that it has."],
  ["rollback", "Roll back", ["scheduled", "running", "paused", "waitingForApproval"], "Each node that got the version returns to its previous one."],
];

function Actions({ rollout, session, onDone }) {
  const [asked, ask] = useState(null);
  if (session.role === "viewer") return null;
  const found = ACTIONS.filter(([, , states]) => states.includes(rollout.state));
  const act = async ([verb]) => {
    await post(`/v1/rollouts/${segment(rollout.name)}/${verb}`);
    ask(null);
    onDone();
  };
  return html`
    ${found.map((one, index) => html`<button key=${one[0]} type="button" class=${index === 0 && one[0] !== "pause" ? "main" : ""} onClick=${() => ask(one)}>${one[1]}</button>`)}
    ${asked && html`<${Confirm} title=${`${asked[1]}: ${rollout.name}`} words=${asked[3]} label=${asked[1]} act=${() => act(asked)} onClose=${() => ask(null)} />`}
  `;
}

function StageCard({ rollout, stage, index }) {
  const parts = STATES.filter(([state]) => stage.counts[state]).map(([state, name, tone]) => ({
    name,
    tone,
    value: stage.counts[state],
    to: LISTED.has(state) ? pageOf(rollout, { stage: stage.name, state }) : undefined,
  }));
  const approval = stage.approvedBy ? html`approved by ${stage.approvedBy} <${Time} at=${stage.approvedTime} />` : stage.approval === "required" ? "needs approval" : "";
  const isPresent = isOpen(rollout) && rollout.stage === stage.name;
  return html`<section class="card" aria-labelledby=${`stage-${index}`} data-testid=${`stage-${stage.name}`}>
    <h3 id=${`stage-${index}`}>${index + 1}. ${stage.name} ${isPresent && html`<${Badge} tone="warn">now<//>`}</h3>
    <p class="quiet">${plural(stage.nodes, "node")}${approval && html` · ${approval}`}</p>
    <${Bar} parts=${parts} label=${`Stage ${stage.name}`} />
    <${Legend} parts=${parts} />
  </section>`;
}

function Waits({ rollout }) {
  if (!rollout.waits.length) return null;
  const more = rollout.waiting - rollout.waits.length;
  return html`<section class="card" aria-labelledby="waits-title">
    <h2 id="waits-title">Waits for</h2>
    <ul class="plain" data-testid="waits">
      ${rollout.waits.map((one) => html`<li key=${one.node}><a href=${link(["nodes", one.node])}>${one.node}</a> <span class="quiet">${one.detail || words(one.reason)}${one.until && html`, until <${Time} at=${one.until} />`}</span></li>`)}
      ${more > 0 && html`<li class="quiet">and ${plural(more, "other node")}</li>`}
    </ul>
  </section>`;
}

const NODE_COLUMNS = [
  { name: "Node", show: (one) => html`<a href=${link(["nodes", one.node])}>${one.node}</a>` },
  { name: "Stage", show: (one) => one.stage },
  { name: "State", show: (one) => html`<${Badge} tone=${STATES.find(([state]) => state === one.state)?.[2]}>${words(one.state)}<//>` },
  { name: "Version", show: (one) => one.version || "none" },
  { name: "Before", show: (one) => one.previous || "none" },
  { name: "Sent", show: (one) => html`<${Time} at=${one.sentTime} none="" />` },
  { name: "Cause", kind: "wide", show: (one) => one.cause || (one.deferredTime ? `deferred by the device until ${one.deferredTime}: ${one.reason}` : "") },
];

function NodeList({ rollout, query, revision }) {
  const { stage = "", state: chosen = "" } = query;
  const pages = usePages([stage, chosen]);
  const target = path(`/v1/rollouts/${segment(rollout.name)}/nodes`, { stage, state: chosen, limit: SIZE, continue: pages.token });
  const state = useData((signal) => get(target, { signal }), [target, revision]);
  return html`<section aria-labelledby="nodes-title" data-testid="rollout-nodes">
    <h2 id="nodes-title">Nodes${stage && ` of stage ${stage}`}${chosen && `, ${words(chosen)}`}</h2>
    ${(stage || chosen) && html`<p><button type="button" onClick=${() => go(["rollouts", rollout.name])}>Show all</button></p>`}
    <${Loaded} state=${state} lines=${4} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Nodes of the rollout" columns=${NODE_COLUMNS} items=${page.items} keyOf=${(one) => one.node} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions?.continue }} noun="node" />`
        : html`<${Empty} title="No node yet"><p>Nodes that wait for their stage are not listed.</p><//>`} />
  </section>`;
}

function Timeline({ rollout, revision }) {
  const state = useData((signal) => get(path("/v1/events", { type: "rollout.*", name: rollout.name, limit: EVENTS }), { signal }), [rollout.name, revision]);
  return html`<section aria-labelledby="timeline-title" data-testid="timeline">
    <h2 id="timeline-title">Timeline</h2>
    <${Loaded} state=${state} lines=${3} show=${(page) => html`<${EventList} items=${page.items} isOfOne />`} />
  </section>`;
}

function Seen({ rollout, query }) {
  // What lists are loaded by: they are asked for again when the rollout has moved on.
  const revision = JSON.stringify([rollout.state, rollout.stage, rollout.stages.map((stage) => stage.counts)]);
  return html`
    <p class="lead"><${State} rollout=${rollout} /> <a href=${link(["apps", rollout.app])}>${rollout.app}</a> <span class="quiet">version ${rollout.base || "none"} → ${rollout.target}, policy ${rollout.policy ? html`<a href=${link(["rolloutpolicies", rollout.policy])}>${rollout.policy}</a>` : "none"}, began <${Time} at=${rollout.createTime} />${rollout.actor && ` by ${rollout.actor}`}</span></p>
    ${rollout.cause && html`<p data-testid="cause">${rollout.cause}</p>`}
    <p class="quiet">${count(rollout.failed)} failed, ${count(rollout.tolerated)} tolerated</p>
    <div class="cards">${rollout.stages.map((stage, index) => html`<${StageCard} key=${stage.name} rollout=${rollout} stage=${stage} index=${index} />`)}</div>
    <${Waits} rollout=${rollout} />
    <${NodeList} rollout=${rollout} query=${query} revision=${revision} />
    <${Timeline} rollout=${rollout} revision=${revision} />
  `;
}

export function Rollout({ name, query, session }) {
  const state = useData((signal) => get(`/v1/rollouts/${segment(name)}`, { signal }), [name]);
  useRepeated(() => (!state.data || isOpen(state.data)) && state.reload(), AGAIN);
  const actions = state.data && html`<${Actions} rollout=${state.data} session=${session} onDone=${state.reload} />`;
  return html`<${Title} text=${name} above=${{ href: link(["rollouts"]), text: "Rollouts" }} actions=${actions}>${name}<//>
    ${state.error && state.data && html`<${Failure} error=${state.error} again=${state.reload} />`}
    <${Loaded} state=${state} lines=${10} show=${(rollout) => html`<${Seen} rollout=${rollout} query=${query} />`} />`;
}
