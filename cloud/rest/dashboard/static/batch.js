// What a batch has beside its definition: the command for a device, and the records of its devices.
import { html, useState } from "./html.js";
import { get, getText, path, post, segment } from "./api.js";
import { plural, when } from "./format.js";
import { useLive } from "./live.js";
import { link } from "./route.js";
import { Badge, Copyable, Dialog, Empty, Failure, Icon, Loaded, Pager, saveText, Table, Time, useData, usePages } from "./ui.js";

const MOST_LINES = 1000;
const REFUSED_SHOWN = 8;

export function BringIn({ name }) {
  const [answer, setAnswer] = useState(null);
  const [error, setError] = useState(null);
  const ask = async () => {
    try {
      setAnswer(await get(`/v1/register/${segment(name)}/init`));
      setError(null);
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<section class="card" aria-labelledby="bring-title"><h2 id="bring-title">Bring in a device</h2>
    <p class="quiet">One line for the machine's shell, good once and for an hour.</p>
    ${answer ? html`<${Copyable} text=${answer.cmd} label="Installation command" />` : html`<button type="button" onClick=${ask}>Show the command</button>`}
    ${error && html`<${Failure} error=${error} />`}
  </section>`;
}

const RECORD_COLUMNS = [
  { name: "Record", show: (record) => record.name },
  { name: "Fingerprint", kind: "wide", show: (record) => html`<code>${record.fingerprintValue}</code>` },
  { name: "State", show: (record) => html`<${Badge} tone=${record.active ? "good" : "plain"}>${record.active ? "activated" : "waits"}<//>` },
  { name: "Node", show: (record) => (record.active ? html`<a href=${link(["nodes", record.nodeName])}>${record.nodeName}</a>` : record.nodeName) },
];

/** Fingerprints of *text*, one on each line; commas and quotes around them are left out. */
const fingerprintsOf = (text) => [...new Set(text.split(/\r?\n/).map((line) => line.trim().replace(/^"|"?,?$/g, "")).filter(Boolean))];

function AddRecords({ name, first = "", onClose, onAdded }) {
  const [text, setText] = useState(first);
  const [done, setDone] = useState(0);
  const [failures, setFailures] = useState([]);
  const [isBusy, setBusy] = useState(false);
  const wanted = fingerprintsOf(text);
  const read = async (event) => setText(await event.currentTarget.files[0].text());
  const add = async (event) => {
    event.preventDefault();
    setBusy(true);
    setFailures([]);
    const failed = [];
    let count = 0;
    for (const fingerprintValue of wanted) {
      try {
        await post(`/v1/register/${segment(name)}/record`, { fingerprintValue });
        setDone((count += 1));
      } catch (error) {
        failed.push({ fingerprintValue, error });
        setFailures([...failed]);
        if (error.status === 0 || error.status === 429) break;
      }
    }
    setBusy(false);
    onAdded();
    if (!failed.length) onClose();
    else setText(failed.map((one) => one.fingerprintValue).join("\n"));
  };
  return html`<${Dialog} title=${`Add devices to ${name}`} onClose=${onClose} wide
    actions=${html`<button type="button" onClick=${onClose}>Close</button>
      <button type="submit" form="records-form" class="main" disabled=${isBusy || !wanted.length || wanted.length > MOST_LINES}>${isBusy ? `${done} of ${wanted.length}` : `Add ${plural(wanted.length, "device")}`}</button>`}>
    <form id="records-form" onSubmit=${add}>
      <label class="stacked">Fingerprints, one on each line <textarea rows="8" spellcheck=${false} autocapitalize="off" value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea></label>
      <label class="stacked">or from a file <input type="file" accept=".txt,.csv,text/plain" onChange=${read} /></label>
      ${wanted.length > MOST_LINES && html`<p class="warn-text">At most ${MOST_LINES} at a time.</p>`}
      ${failures.length > 0 && html`<ul class="plain bad-text" role="alert">${failures.slice(0, 10).map((one) => html`<li key=${one.fingerprintValue}><code>${one.fingerprintValue}</code> ${one.error.message}</li>`)}</ul>`}
    </form>
  <//>`;
}

const refusedColumns = (add) => [
  { name: "Fingerprint", show: (one) => html`<code>${one.fingerprintValue}</code>` },
  { name: "Last refused", show: (one) => html`<${Time} at=${one.lastTime} />${one.count > 1 && html` <span class="quiet" title=${`since ${when(one.firstTime)}`}>${one.count} times</span>`}` },
  { name: "From", show: (one) => one.address },
  { name: "Why", show: (one) => html`<${Badge} tone="bad">${one.reason}<//> ${one.message}` },
  {
    name: "What to do",
    kind: "wide",
    show: (one) => html`${one.remedy}${add && one.reason === "NotOnWhitelist" && html` <button type="button" onClick=${() => add(one.fingerprintValue)}>Add a record</button>`}`,
  },
];

/** Devices that the batch *name* refused and that were not activated since; nothing where there are none. */
export function Refused({ name, mayChange }) {
  const [adding, add] = useState("");
  const [most, setMost] = useState(REFUSED_SHOWN);
  const state = useData((signal) => get(`/v1/register/${segment(name)}/refused`, { signal }), [name]);
  const isOurs = ({ type, subject }) => type === "node.activated" || subject.kind === "record" || (subject.kind === "batch" && subject.name === name);
  useLive(isOurs, state.reload);
  if (!state.error && !state.data?.total) return null;
  return html`<section aria-labelledby="refused-title"><h2 id="refused-title">Refused devices</h2>
    <${Loaded} state=${state} show=${(page) => html`<${Table} caption="Devices that the batch refused" columns=${refusedColumns(mayChange && add)} items=${page.items.slice(0, most)} keyOf=${(one) => `${one.reason} ${one.fingerprintValue}`} />
      ${page.total > most && html`<p class="actions start"><button type="button" onClick=${() => setMost(page.total)}>Show all ${page.total}</button></p>`}`} />
    ${adding && html`<${AddRecords} name=${name} first=${adding} onClose=${() => add("")} onAdded=${state.reload} />`}
  </section>`;
}

/** The records of the batch *name*: devices that may activate, and those that did. */
export function Records({ name, mayChange }) {
  const [isAdding, setAdding] = useState(false);
  const pages = usePages([name]);
  const state = useData((signal) => get(path(`/v1/register/${segment(name)}/record`, { pageSize: 20, pageNo: pages.number }), { signal }), [name, pages.number]);
  useLive((event) => event.type === "node.activated" || event.subject.kind === "record", state.reload);
  const [error, setError] = useState(null);
  const download = async () => {
    setError(null);
    try {
      saveText(`${name}.txt`, await getText(`/v1/register/${segment(name)}/download`));
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<section aria-labelledby="records-title"><h2 id="records-title">Records</h2>
    ${error && html`<${Failure} error=${error} />`}
    ${mayChange && html`<div class="actions start">
      <button type="button" onClick=${() => setAdding(true)}><${Icon} name="plus" />Add devices</button>
      <button type="button" onClick=${download}>Download the fingerprints</button>
    </div>`}
    <${Loaded} state=${state} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Records of the batch" columns=${RECORD_COLUMNS} items=${page.items} keyOf=${(record) => record.name} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.pageNo * page.pageSize < page.total ? "more" : "" }} noun="record" />`
        : html`<${Empty} title="No device has been activated." />`} />
    ${isAdding && html`<${AddRecords} name=${name} onClose=${() => setAdding(false)} onAdded=${state.reload} />`}
  </section>`;
}
