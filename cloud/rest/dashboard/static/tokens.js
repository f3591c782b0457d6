// API tokens: who may call the API, made and revoked.
import { html, useState } from "./html.js";
import { get, path, post, remove, segment } from "./api.js";
import { Badge, Confirm, Copyable, Dialog, Empty, Failure, Icon, Loaded, Pager, Table, Time, Title, useData, usePages } from "./ui.js";

const SIZE = 50;
const ROLES = [["viewer", "sees everything but credentials"], ["operator", "changes resources"], ["admin", "manages tokens, guard and audit log"]];
const DAYS = [["7", "in a week"], ["30", "in 30 days"], ["90", "in 90 days"], ["365", "in a year"], ["", "never"]];
const DAY = 24 * 3600 * 1000;

const isOver = (token) => Boolean(token.expires) && Date.parse(token.expires) < Date.now();

const columns = (onRevoke) => [
  { name: "Name", show: (token) => token.name },
  { name: "Role", show: (token) => html`<${Badge} tone="plain">${token.role}<//>` },
  { name: "Namespace", show: (token) => (token.namespace === "*" ? "all" : token.namespace) },
  { name: "Last used", show: (token) => html`<${Time} at=${token.lastUsedTime} />` },
  { name: "Expires", show: (token) => html`<span class=${isOver(token) ? "bad-text" : ""}><${Time} at=${token.expires} /></span>` },
  { name: "Created", show: (token) => html`<${Time} at=${token.createTime} />` },
  { name: "", show: (token) => html`<button type="button" aria-label=${`Revoke ${token.name}`} onClick=${() => onRevoke(token)}>Revoke</button>` },
];

function NewToken({ session, onClose, onCreated }) {
  const [created, setCreated] = useState(null);
  const [error, setError] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.currentTarget));
    const expires = form.days && new Date(Date.now() + Number(form.days) * DAY).toISOString().replace(/\.\d+/, "");
    const draft = { name: form.name.trim(), role: form.role, ...(expires ? { expires } : {}), ...(form.everywhere ? { namespace: "*" } : {}) };
    try {
      setCreated(await post("/v1/tokens", draft));
      onCreated();
    } catch (failed) {
      setError(failed);
    }
  };
  if (created)
    return html`<${Dialog} title=${`Token ${created.name}`} onClose=${onClose} wide actions=${html`<button type="button" class="main" onClick=${onClose}>Done</button>`}>
      <p><strong>Copy it now.</strong> The server stores only a digest of it and cannot show it again.</p>
      <${Copyable} text=${created.token} label="The new token" />
    <//>`;
  return html`<${Dialog} title="New token" onClose=${onClose}
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="submit" form="token-form" class="main">Create</button>`}>
    <form id="token-form" onSubmit=${create}>
      <label class="stacked">Name <input name="name" required maxlength="63" autocomplete="off" spellcheck=${false} placeholder="anna, or ci" /></label>
      <label class="stacked">Role <select name="role">${ROLES.map(([role, words]) => html`<option key=${role} value=${role}>${role}: ${words}</option>`)}</select></label>
      <label class="stacked">Expires <select name="days" value="90">${DAYS.map(([days, words]) => html`<option key=${days} value=${days}>${words}</option>`)}</select></label>
      ${session.namespace === "*" && html`<label class="check stacked"><input type="checkbox" name="everywhere" value="*" /> for all namespaces</label>`}
      ${error && html`<${Failure} error=${error} />`}
    </form>
  <//>`;
}

export function Tokens({ session }) {
  const pages = usePages([]);
  const everywhere = session.namespace === "*" ? "*" : "";
  const state = useData((signal) => get(path("/v1/tokens", { namespace: everywhere, limit: SIZE, continue: pages.token }), { signal }), [pages.token]);
  const [isNew, setNew] = useState(false);
  const [revoked, revoke] = useState(null);
  const close = () => revoke(null);
  const act = async () => {
    await remove(path(`/v1/tokens/${segment(revoked.name)}`, { namespace: revoked.namespace }));
    close();
    state.reload();
  };
  return html`
    <${Title} actions=${html`<button type="button" class="main" onClick=${() => setNew(true)}><${Icon} name="plus" />New token</button>`}>Tokens<//>
    <p class="quiet">Who may call the API and sign in here. Give each person and each script a token of its own.</p>
    <${Loaded} state=${state} lines=${8} show=${(page) =>
      page.items.length
        ? html`<${Table} caption="Tokens" columns=${columns(revoke)} items=${page.items} keyOf=${(token) => `${token.namespace}/${token.name}`} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: page.listOptions.continue }} noun="token" />`
        : html`<${Empty} title="No tokens yet"><p>The administrator's token in the data directory works without being listed.</p><//>`} />
    ${isNew && html`<${NewToken} session=${session} onClose=${() => setNew(false)} onCreated=${state.reload} />`}
    ${revoked && html`<${Confirm} title=${`Revoke ${revoked.name}?`} label="Revoke" act=${act} onClose=${close} words="Its calls are refused from now on, and its sessions end." />`}
  `;
}
