// How a callback does: what waits, the last error, and deliveries that were given up.
import { html, useState } from "./html.js";
import { get, post, segment } from "./api.js";
import { count } from "./format.js";
import { Empty, Failure, Loaded, Table, Time, useData, useRepeated } from "./ui.js";

const AGAIN = 5000;
const COLUMNS = [
  { name: "Delivery", show: (one) => html`<code class="serial">${one.id}</code>` },
  { name: "From", show: (one) => html`<${Time} at=${one.createTime} />` },
  { name: "Attempts", kind: "number", show: (one) => count(one.attempts) },
  { name: "Error", kind: "wide", show: (one) => html`<span class="bad-text">${one.error}</span>` },
];

/** The sender at *target*, loaded each *again* milliseconds, and what sends again what was given up. */
export function useDeliveries(target, again) {
  const state = useData((signal) => get(target, { signal }), [target]);
  useRepeated(state.reload, again);
  const [error, setError] = useState(null);
  const retry = async () => {
    setError(null);
    try {
      await post(`${target}/retry`);
    } catch (failed) {
      setError(failed);
    }
    state.reload();
  };
  return { state, retry, error };
}

export function Deliveries({ name, mayChange }) {
  const { state, retry, error } = useDeliveries(`/v1/callback/${segment(name)}`, AGAIN);
  return html`<section aria-labelledby="deliveries-title"><h2 id="deliveries-title">Deliveries</h2>
    <${Loaded} state=${state} lines=${3} show=${({ state: done }) => html`
      <dl class="facts card">
        <div><dt>Waiting</dt><dd>${count(done.pending)}</dd></div>
        <div class=${done.givenUp ? "bad-text" : ""}><dt>Given up</dt><dd>${count(done.givenUp)}</dd></div>
        <div><dt>Last delivered</dt><dd><${Time} at=${done.lastSuccessTime} /></dd></div>
        ${done.lastError && html`<div><dt>Last error</dt><dd>${done.lastError} <span class="quiet"><${Time} at=${done.lastErrorTime} /></span></dd></div>`}
      </dl>
      ${error && html`<${Failure} error=${error} />`}
      ${done.deadLetters.length
        ? html`<h3>Given up</h3>
            ${mayChange && html`<div class="actions start"><button type="button" onClick=${retry}>Send all of them again</button></div>`}
            <${Table} caption="Deliveries that were given up" columns=${COLUMNS} items=${done.deadLetters} keyOf=${(one) => one.id} />`
        : html`<${Empty} title="No delivery was given up." />`}
    `} />
  </section>`;
}
