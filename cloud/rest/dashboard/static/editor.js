// The editor of a resource: write YAML, preview the change, give a reason, apply.
import { html, useEffect, useRef, useState } from "./html.js";
import { path, segment, sendYaml } from "./api.js";
import { bytes, count, percent, plural } from "./format.js";
import { Changes, deferred, Dialog, Failure, Skeleton } from "./ui.js";

// Their libraries are larger than all else together.
const CodeEditor = deferred(async () => (await import("./code_editor.js")).CodeEditor);
const AppForm = deferred(async () => (await import("./app_form.js")).AppForm);

const SHOWN_CHANGES = 30;

/** Of the apps of a plan: on how many nodes each is new, gone or another version. */
const appText = ({ name, before, after, nodes }) => `${name} ${before ? `v${before}` : "new"} → ${after === null ? "gone" : after ? `v${after}` : "a new version"} (${plural(nodes, "node")})`;

/** The first nodes that gain or lose apps. */
const Gains = ({ gains, touched }) => html`<ul class="plain gains" aria-label="Nodes that gain or lose apps">
  ${gains.map((one) => html`<li key=${one.name}>${one.name}:${one.gained.map((app) => html` <ins key=${app}>+${app}</ins>`)}${one.lost.map((app) => html` <del key=${app}>-${app}</del>`)}</li>`)}
  ${touched > gains.length && html`<li class="quiet">and ${plural(touched - gains.length, "more node", "more nodes")}</li>`}
</ul>`;

function Plan({ plan }) {
  const { nodes, apps = [], changes = [], gains = [] } = plan;
  if (plan.action === "none") return html`<p><strong>Nothing changes.</strong> It is so already.</p>`;
  return html`
    <p class="lead">${plan.message}</p>
    <dl class="facts plan" data-testid="plan">
      <div><dt>Nodes touched</dt><dd>${count(nodes.touched)} of ${count(nodes.total)} (${percent(nodes.touched, nodes.total)} %)</dd></div>
      <div><dt>Offline now</dt><dd>${count(nodes.offline)}</dd></div>
      ${plan.bytes > 0 && html`<div><dt>To be sent</dt><dd>${bytes(plan.bytes)}</dd></div>`}
      ${apps.length > 0 && html`<div><dt>Apps</dt><dd>${apps.map(appText).join(", ")}</dd></div>`}
      ${plan.count > 1 && html`<div><dt>Changed</dt><dd>${plural(plan.count, plan.kind)}</dd></div>`}
      ${gains.length > 0 && html`<div><dt>Gained and lost</dt><dd><${Gains} gains=${gains} touched=${nodes.touched} /></dd></div>`}
      ${!gains.length && nodes.names?.length > 0 && html`<div><dt>Among them</dt><dd>${nodes.names.join(", ")}</dd></div>`}
    </dl>
    ${changes.length > 0 && html`<h3>What changes</h3><${Changes} changes=${changes.slice(0, SHOWN_CHANGES)} />${changes.length > SHOWN_CHANGES && html`<p class="quiet">and ${changes.length - SHOWN_CHANGES} more</p>`}`}
  `;
}

/**
 * What *send(query, headers)* would do; on consent it is sent for good. *onInvalid* gets what the
 * server finds wrong with it, where the user can correct it.
 */
export function PlanDialog({ title, label, send, onDone, onClose, onInvalid, isDanger }) {
  const [plan, setPlan] = useState(null);
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [mustConfirm, setMustConfirm] = useState(false);
  const [isConfirmed, confirm] = useState(false);
  const reason = useRef();
  useEffect(() => {
    let isOpen = true;
    send({ dryRun: "true" }, {})
      .then((answer) => {
        if (!isOpen) return;
        setPlan(answer);
        setMustConfirm(Boolean(answer.confirm));
      })
      .catch((failed) => {
        if (!isOpen) return;
        if (onInvalid && (failed.status === 400 || failed.status === 413)) onInvalid(failed);
        else setError(failed);
      });
    return () => {
      isOpen = false;
    };
  }, []);
  const act = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const words = reason.current.value.trim();
      const headers = words ? { "X-Edgesync-Reason": encodeWords(words) } : {};
      onDone(await send(isConfirmed ? { confirm: "true" } : {}, headers));
    } catch (failed) {
      if (failed.code === "ConfirmationRequired") setMustConfirm(true);
      setError(failed);
      setBusy(false);
    }
  };
  const isNothing = plan?.action === "none";
  return html`<${Dialog} title=${title} onClose=${onClose} wide
    actions=${html`<button type="button" onClick=${onClose}>${isNothing ? "Close" : "Cancel"}</button>
      ${!isNothing && html`<button type="submit" form="plan-form" class=${isDanger ? "danger" : "main"} disabled=${isBusy || !plan || (mustConfirm && !isConfirmed)}>${isBusy ? "Sending…" : label}</button>`}`}>
    <form id="plan-form" onSubmit=${act}>
      ${plan ? html`<${Plan} plan=${plan} />` : !error && html`<${Skeleton} lines=${4} />`}
      ${error && html`<${Failure} error=${error} />`}
      ${mustConfirm && html`<label class="check confirm"><input type="checkbox" checked=${isConfirmed} onChange=${(event) => confirm(event.currentTarget.checked)} /> This touches more nodes than the guard of the namespace allows. I mean it.</label>`}
      ${plan && !isNothing && html`<label class="stacked">Why, for the audit log and the history <input ref=${reason} maxlength="200" autocomplete="off" /></label>`}
    </form>
  <//>`;
}

/** Headers hold bytes: words go as UTF-8. */
const encodeWords = (words) => String.fromCharCode(...new TextEncoder().encode(words));

export function Editor({ text, kind, name, tag, onSaved, onCancel }) {
  const [value, setValue] = useState(text);
  const [error, setError] = useState(null);
  const [isPlanned, setPlanned] = useState(false);
  const hasForm = kind.place === "apps";
  const [isForm, setForm] = useState(hasForm && !name);
  const method = name ? "PUT" : "POST";
  const target = name ? `${kind.path}/${segment(name)}` : kind.path;
  const send = (query, headers) =>
    sendYaml(method, path(target, query), value, { headers: { ...headers, ...(tag && name ? { "If-Match": tag } : {}) } });
  const refuse = (failed) => {
    setPlanned(false);
    setError(failed);
  };
  const review = (event) => {
    event?.preventDefault();
    setError(null);
    setPlanned(true);
  };
  return html`
    <form class="editor" onSubmit=${review}>
      ${hasForm && html`<div class="ranges" role="group" aria-label="Edit as">
        ${[[true, "Form"], [false, "YAML"]].map(([key, words]) => html`<button key=${words} type="button" class="bare" aria-pressed=${isForm === key} onClick=${() => setForm(key)}>${words}</button>`)}
      </div>`}
      ${isForm ? html`<${AppForm} text=${value} error=${error} isNew=${!name} onChange=${setValue} />` : html`
      <${CodeEditor} id="editor-text" value=${value} label=${name ? `Definition of ${name}, in YAML` : `The new ${kind.one}, in YAML`}
        path=${kind.path} error=${error} onChange=${setValue} onReview=${review} />
      <p id="editor-help" class="quiet">YAML or JSON. Nothing is saved before you have seen what it would do. <kbd>Ctrl</kbd>+<kbd>Enter</kbd> reviews, <kbd>Ctrl</kbd>+<kbd>Space</kbd> shows what can stand here.</p>
      ${error && html`<${Failure} error=${error} />`}`}
      <div class="actions start"><button type="submit" class="main">Review</button><button type="button" onClick=${onCancel}>Cancel</button></div>
    </form>
    ${isPlanned && html`<${PlanDialog} title=${name ? `Change ${kind.one} ${name}` : `Create ${kind.one}`} label=${name ? "Save" : "Create"} send=${send} onDone=${onSaved} onInvalid=${refuse} onClose=${() => setPlanned(false)} />`}
  `;
}
