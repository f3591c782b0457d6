// Labels of many nodes at once: what to set and to remove, what that changes, and then the change.
import { html, useState } from "./html.js";
import { patch, path } from "./api.js";
import { plural } from "./format.js";
import { PlanDialog } from "./editor.js";
import { Dialog, Failure } from "./ui.js";
import { parseLabels } from "./labels.js";

/** The change of *text*, `key=value` to set and `key-` to remove, separated by commas or new lines. */
export function labelChange(text) {
  const parts = text.split(/[,\n]/).map((one) => one.trim()).filter(Boolean);
  const removed = parts.filter((part) => !part.includes("=") && part.endsWith("-")).map((part) => part.slice(0, -1));
  const set = parseLabels(parts.filter((part) => part.includes("=") || !part.endsWith("-")).join("\n"));
  return { ...Object.fromEntries(removed.map((key) => [key, null])), ...set };
}

/** *body* selects the nodes, *count* of them. */
export function LabelNodes({ body, count, onDone, onClose }) {
  const [text, setText] = useState("");
  const [labels, setLabels] = useState(null);
  const [error, setError] = useState(null);
  const title = `Labels of ${plural(count, "node")}`;
  const review = (event) => {
    event.preventDefault();
    setError(null);
    try {
      const change = labelChange(text);
      if (!Object.keys(change).length) throw new Error("Name a label: key=value sets one, key- removes it.");
      setLabels(change);
    } catch (wrong) {
      setError(wrong);
    }
  };
  const refuse = (failed) => {
    setLabels(null);
    setError(failed);
  };
  if (labels)
    return html`<${PlanDialog} title=${title} label="Save" send=${(query, headers) => patch(path("/v1/nodes", query), { ...body, labels }, { headers })}
      onDone=${onDone} onInvalid=${refuse} onClose=${() => setLabels(null)} />`;
  return html`<${Dialog} title=${title} onClose=${onClose}
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="submit" form="label-nodes-form" class="main">Review</button>`}>
    <form id="label-nodes-form" onSubmit=${review}>
      <label class="stacked">Change of labels, one on each line <textarea rows="5" spellcheck=${false} autocapitalize="off" autofocus value=${text} placeholder=${"site=north\nretired-"} onInput=${(event) => setText(event.currentTarget.value)}></textarea></label>
      <p class="quiet"><code>key=value</code> sets a label, <code>key-</code> removes it. The others stay. You see first which apps the nodes gain and lose.</p>
      ${error && html`<${Failure} error=${error} />`}
    </form>
  <//>`;
}
