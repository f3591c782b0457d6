// What a thing was, who made it so, and the way back.
import { html, useState } from "./html.js";
import { get, path, post, segment } from "./api.js";
import { mayChange } from "./kinds.js";
import { Badge, Changes, Diff, Dialog, Empty, Loaded, Pager, Time, useData, usePages } from "./ui.js";
import { PlanDialog } from "./editor.js";

const SIZE = 20;

function Compare({ kind, name, from, to, onClose }) {
  const state = useData((signal) => get(path(`${kind.path}/${segment(name)}/diff`, { from, to }), { signal }), [from, to]);
  return html`<${Dialog} title=${`${name}: what revision ${to} changed`} onClose=${onClose} wide>
    <${Loaded} state=${state} show=${(diff) => html`
      ${diff.text || !diff.changes.length ? html`<${Diff} text=${diff.text} />` : html`<${Changes} changes=${diff.changes} />`}
    `} />
  <//>`;
}

export function History({ kind, name, session, onChanged, isGone }) {
  const pages = usePages([name]);
  const [compared, compare] = useState(null);
  const [undone, undo] = useState(null);
  const base = `${kind.path}/${segment(name)}`;
  const state = useData((signal) => get(path(`${base}/revisions`, { limit: SIZE, continue: pages.token }), { signal }), [name, pages.token]);
  const done = () => {
    undo(null);
    state.reload();
    onChanged();
  };
  return html`
    <${Loaded} state=${state} show=${(page) =>
      page.items.length
        ? html`<ol class="revisions">
              ${page.items.map(
                (one) => html`<li key=${one.revision}>
                  <div>
                    <p><strong>Revision ${one.revision}</strong> ${one.version && html`<span class="quiet">version ${one.version}</span>`} <${Badge} tone=${one.action === "delete" ? "bad" : one.action === "undo" ? "warn" : "plain"}>${one.action}<//> ${one.current && html`<${Badge} tone="good">current<//>`}</p>
                    <p><span class="quiet"><${Time} at=${one.time} /> by</span> ${one.actor.name || one.actor.kind}${one.reason && html` <q>${one.reason}</q>`}</p>
                  </div>
                  <div class="actions">
                    <button type="button" aria-label=${`Compare revision ${one.revision} with the one before`} onClick=${() => compare({ to: one.revision })}>Compare</button>
                    ${mayChange(kind, session) && (!one.current || isGone) && one.action !== "delete" && html`<button type="button" aria-label=${`Go back to revision ${one.revision}`} onClick=${() => undo(one.revision)}>Go back to this</button>`}
                  </div>
                </li>`,
              )}
            </ol>
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions?.continue }} noun="revision" />`
        : html`<${Empty} title="No revision is kept." />`} />
    ${compared && html`<${Compare} kind=${kind} name=${name} from=${compared.from} to=${compared.to} onClose=${() => compare(null)} />`}
    ${undone !== null && html`<${PlanDialog} title=${`Go back to revision ${undone} of ${name}`} label="Go back"
      send=${(query, headers) => post(path(`${base}/undo`, query), { revision: undone }, { headers })} onDone=${done} onClose=${() => undo(null)} />`}
  `;
}
