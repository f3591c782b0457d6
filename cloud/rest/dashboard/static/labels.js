// Labels as text, and a dialog that changes those of a node.
import { html, useState } from "./html.js";
import { Dialog, Failure } from "./ui.js";
import { PlanDialog } from "./editor.js";

/** Labels of *text*: `key=value`, separated by commas or new lines; an Error names what is not so. */
export function parseLabels(text) {
  const labels = {};
  for (const part of text.split(/[,\n]/).map((one) => one.trim()).filter(Boolean)) {
    const [key, value, more] = part.split("=").map((side) => side.trim());
    if (!key || value === undefined || more !== undefined) throw new Error(`${part}: a label is written as key=value`);
    labels[key] = value;
  }
  return labels;
}

export const labelsText = (labels) => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join("\n");

/** What turns the labels *before* into *after*, as a merge patch: null removes a label. */
export function labelsPatch(before, after) {
  const gone = Object.keys(before).filter((key) => !(key in after));
  const changed = Object.entries(after).filter(([key, value]) => before[key] !== value);
  return Object.fromEntries([...gone.map((key) => [key, null]), ...changed]);
}

/** Edit *labels*; *send(patch, query, headers)* plans and sends the change. */
export function LabelsDialog({ title, labels, send, onDone, onClose }) {
  const [text, setText] = useState(labelsText(labels));
  const [change, setChange] = useState(null);
  const [error, setError] = useState(null);
  const review = (event) => {
    event.preventDefault();
    setError(null);
    try {
      setChange(labelsPatch(labels, parseLabels(text)));
    } catch (wrong) {
      setError(wrong);
    }
  };
  const refuse = (failed) => {
    setChange(null);
    setError(failed);
  };
  if (change)
    return html`<${PlanDialog} title=${title} label="Save" send=${(query, headers) => send(change, query, headers)}
      onDone=${onDone} onInvalid=${refuse} onClose=${() => setChange(null)} />`;
  return html`<${Dialog} title=${title} onClose=${onClose}
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="submit" form="labels-form" class="main">Review</button>`}>
    <form id="labels-form" onSubmit=${review}>
      <label class="stacked">Labels, one on each line: key=value <textarea rows="7" spellcheck=${false} autocapitalize="off" value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea></label>
      ${error && html`<${Failure} error=${error} />`}
    </form>
  <//>`;
}
