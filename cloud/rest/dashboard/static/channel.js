// A channel of notifications: a test message, and the newest messages with what came of them.
import { html, useState } from "./html.js";
import { post, segment } from "./api.js";
import { useDeliveries } from "./deliveries.js";
import { count } from "./format.js";
import { Badge, Empty, Failure, Loaded, Table, Time } from "./ui.js";

const AGAIN = 2000;
const STATES = {
  sent: ["sent", "good"],
  waiting: ["waiting", "warn"],
  givenUp: ["given up", "bad"],
};
const State = ({ of }) => html`<${Badge} tone=${STATES[of][1]}>${STATES[of][0]}<//>`;
const COLUMNS = [
  { name: "Message", kind: "wide", show: (one) => one.title },
  { name: "Rule", show: (one) => one.rule },
  { name: "State", show: (one) => html`<${State} of=${one.state} />` },
  { name: "From", show: (one) => html`<${Time} at=${one.createTime} />` },
  { name: "Attempts", kind: "number", show: (one) => count(one.attempts) },
  { name: "Answer", kind: "wide", show: (one) => (one.error ? html`<span class="bad-text">${one.error}</span>` : one.answer) },
];

/** A button that sends a test message, and what the receiver answered. */
function Test({ target, onDone }) {
  const [isSending, setSending] = useState(false);
  const [outcome, setOutcome] = useState(null);
  const [error, setError] = useState(null);
  const send = async () => {
    setSending(true);
    setOutcome(null);
    setError(null);
    try {
      setOutcome(await post(`${target}/test`));
    } catch (failed) {
      setError(failed);
    }
    setSending(false);
    onDone();
  };
  return html`<div class="actions start"><button type="button" disabled=${isSending} onClick=${send}>Send a test message</button></div>
    <p role="status">${isSending ? "Waiting for the receiver…" : outcome && html`<${Badge} tone=${outcome.ok ? "good" : "bad"}>${outcome.ok ? "sent" : "failed"}<//> ${outcome.response}`}</p>
    ${error && html`<${Failure} error=${error} />`}`;
}

export function Messages({ name, mayChange }) {
  const target = `/v1/channels/${segment(name)}`;
  const { state, retry, error } = useDeliveries(target, AGAIN);
  return html`<section aria-labelledby="messages-title"><h2 id="messages-title">Messages</h2>
    ${mayChange && html`<${Test} target=${target} onDone=${state.reload} />`}
    <${Loaded} state=${state} lines=${3} show=${({ target: leads, state: done, deliveries }) => html`
      <dl class="facts card">
        <div><dt>Target</dt><dd>${leads}</dd></div>
        <div><dt>Waiting</dt><dd>${count(done.pending)}</dd></div>
        <div class=${done.givenUp ? "bad-text" : ""}><dt>Given up</dt><dd>${count(done.givenUp)}</dd></div>
        <div><dt>Last sent</dt><dd><${Time} at=${done.lastSentTime} /></dd></div>
      </dl>
      ${error && html`<${Failure} error=${error} />`}
      ${mayChange && done.givenUp > 0 && html`<div class="actions start"><button type="button" onClick=${retry}>Send again what was given up</button></div>`}
      ${deliveries.length
        ? html`<h3>Newest</h3><${Table} caption="The newest messages" columns=${COLUMNS} items=${deliveries} keyOf=${(one) => one.id} />`
        : html`<${Empty} title="No message was sent yet." />`}
    `} />
  </section>`;
}
