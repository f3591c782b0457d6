// Lists of one kind, one thing of it, and a new one.
import { html, useState } from "./html.js";
import { get, getYaml, path, remove, segment } from "./api.js";
import { Bar, Legend } from "./charts.js";
import { count, percent, plural } from "./format.js";
import { useLive } from "./live.js";
import { go, link, nodesOf } from "./route.js";
import { Badge, Copyable, Empty, Icon, Loaded, Pager, Table, Tabs, Time, Title, useData, usePages } from "./ui.js";
import { Editor, PlanDialog } from "./editor.js";
import { BringIn, Records, Refused } from "./batch.js";
import { Messages } from "./channel.js";
import { Deliveries } from "./deliveries.js";
import { History } from "./history.js";
import { mayChange, mayRead } from "./kinds.js";
import { SearchField } from "./nodes.js";

const SIZE = 50;

function listPath(kind, wanted, pages) {
  if (kind.isNumbered) return path(kind.path, { name: wanted, pageSize: SIZE, pageNo: pages.number });
  const query = { limit: SIZE, continue: pages.token };
  if (!wanted) return path(kind.path, query);
  const isSelector = kind.hasSelector && /[=!,(]/.test(wanted);
  return path(kind.path, isSelector ? { ...query, selector: wanted } : { ...query, fieldSelector: `metadata.name=${wanted}` });
}

const nextOf = (kind, page) => (kind.isNumbered ? (page.pageNo * page.pageSize < page.total ? "more" : "") : page.listOptions.continue);

export function Things({ kind, query, session }) {
  const wanted = query.q || "";
  const pages = usePages([wanted]);
  const state = useData((signal) => get(listPath(kind, wanted, pages), { signal }), [wanted, pages.number, pages.token]);
  useLive((event) => event.subject.kind === kind.logName, state.reload);
  const create = mayChange(kind, session) && html`<a class="button main" href=${link([kind.place, "+"])}><${Icon} name="plus" />New ${kind.one}</a>`;
  return html`
    <${Title} actions=${create}>${kind.many}<//>
    <p class="quiet">${kind.help}</p>
    <${SearchField} key=${wanted} label=${kind.hasSelector ? "Name or selector of labels" : kind.isNumbered ? "Part of the name" : "Name"} hint="" value=${wanted} onSearch=${(text) => go([kind.place], { q: text })} />
    <${Loaded} state=${state} lines=${10} show=${(page) =>
      page.items.length
        ? html`<${Table} caption=${kind.many} columns=${kind.columns} items=${page.items} keyOf=${(item) => item.name} />
            <${Pager} pages=${pages} page=${{ total: page.total, next: nextOf(kind, page) }} noun=${kind.one} nouns=${kind.many.toLowerCase()} />`
        : html`<${Empty} title=${wanted ? "Nothing matches." : `No ${kind.one} yet`}>
            ${!wanted && html`<p>${mayChange(kind, session) && html`<a href=${link([kind.place, "+"])}>Make one here</a>, or `}<code>edgesync apply -f ${kind.logName}.yaml</code></p>`}
          <//>`} />
  `;
}

/** Whether a new thing, a callback or a webhook, has a secret that no later answer has. */
const hasNewSecret = (answer) => /^whsec_/.test(answer.secret || "");

const NewSecret = ({ kind, made }) => html`
  <${Title} above=${{ href: link([kind.place]), text: kind.many }}>${made.name}<//>
  <section class="card" aria-labelledby="secret-title"><h2 id="secret-title">Secret</h2>
    <p>It is shown only now. The receiver verifies signatures with it.</p>
    <${Copyable} text=${made.secret} label=${`Secret of the ${kind.one}`} />
    <p><a class="button main" href=${link([kind.place, made.name])}>Continue</a></p>
  </section>
`;

export function NewThing({ kind, session }) {
  const [made, setMade] = useState(null);
  const saved = (answer) => (hasNewSecret(answer) ? setMade(answer) : go([kind.place, answer.name], {}, { replace: true }));
  if (made) return html`<${NewSecret} kind=${kind} made=${made} />`;
  return html`
    <${Title} above=${{ href: link([kind.place]), text: kind.many }} text=${`New ${kind.one}`}>New ${kind.one}<//>
    <p class="quiet">${kind.help}</p>
    ${mayChange(kind, session)
      ? html`<${Editor} text=${kind.template} kind=${kind} onSaved=${saved} onCancel=${() => go([kind.place])} />`
      : html`<${Empty} title=${`A token with the role ${session.role} cannot change this.`}><p>Sign in with a token that has the role ${kind.changeRole}.</p><//>`}
  `;
}

function Rollout({ name }) {
  const state = useData((signal) => get(`/v1/apps/${segment(name)}/rollout`, { signal }), [name]);
  useLive((event) => event.subject.kind === "node" || event.subject.name === name, state.reload);
  return html`<section class="card" aria-labelledby="rollout-title">
    <h2 id="rollout-title">In the field</h2>
    <${Loaded} state=${state} lines=${3} show=${(rollout) => {
      const parts = [
        { name: "running it", value: rollout.running, tone: "good", to: nodesOf(name, "running") },
        { name: "on the way", value: rollout.pending, tone: "warn", to: nodesOf(name, "pending") },
        { name: "failed", value: rollout.failed, tone: "bad", to: nodesOf(name, "failed") },
      ];
      if (!rollout.selected) return html`<p>Its selector matches no node.</p>`;
      return html`
        <p class="figure" data-testid="rollout">${percent(rollout.running, rollout.selected)} %<span>${count(rollout.running)} of ${plural(rollout.selected, "node")} run version ${rollout.version}${rollout.offline ? `, ${count(rollout.offline)} offline` : ""}</span></p>
        <${Bar} parts=${parts} label="Rollout" /><${Legend} parts=${parts} />
        ${rollout.versions.length > 0 && html`<p class="labels">${rollout.versions.map((one) => html`<span key=${one.version} class=${`label ${one.version === rollout.version ? "is-wanted" : ""}`}>v${one.version} <b>${count(one.nodes)}</b></span>`)}</p>`}
        ${rollout.failures.length > 0 && html`<ul class="plain" data-testid="failures">${rollout.failures.map((one) => html`<li key=${one.node}><a href=${link(["nodes", one.node])}>${one.node}</a> ${one.cause}</li>`)}</ul>`}
      `;
    }} />
  </section>`;
}

function Users({ kind, name }) {
  const state = useData((signal) => get(path(`${kind.path}/${segment(name)}/apps`, { limit: 20 }), { signal }), [name]);
  return html`<section class="card" aria-labelledby="users-title">
    <h2 id="users-title">Used by</h2>
    <${Loaded} state=${state} lines=${2} show=${(page) =>
      page.items.length
        ? html`<ul class="plain">${page.items.map((app) => html`<li key=${app.name}><a href=${link(["apps", app.name])}>${app.name}</a> <span class="quiet">version ${app.version}</span></li>`)}</ul>
            ${page.total > page.items.length && html`<p class="quiet">and ${page.total - page.items.length} more</p>`}`
        : html`<p class="quiet">No app uses it.</p>`} />
  </section>`;
}

function Definition({ kind, name, session, onSaved }) {
  const [isShown, show] = useState(!kind.isSecret);
  const [isEdited, edit] = useState(false);
  const state = useData((signal) => (isShown ? getYaml(path(`${kind.path}/${segment(name)}`, { specOnly: "true" }), { signal }) : Promise.resolve(null)), [name, isShown]);
  useLive((event) => isShown && !isEdited && !kind.isSecret && event.subject.kind === kind.logName && event.subject.name === name, state.reload);
  const saved = () => {
    edit(false);
    state.reload();
    onSaved();
  };
  const mayLook = mayRead(kind, session);
  if (!isShown)
    return html`<div class="empty"><p><strong>Holds ${kind.isBatch ? "a key" : "secret values"}.</strong></p>
      ${mayLook ? html`<p>Looking at it is an entry of the audit log.</p><button type="button" onClick=${() => show(true)}>Show it</button>` : html`<p>That takes the role ${kind.readRole}.</p>`}</div>`;
  return html`<${Loaded} state=${state} lines=${10} show=${(loaded) =>
    loaded &&
    (isEdited
      ? html`<${Editor} text=${loaded.text} kind=${kind} name=${name} tag=${loaded.tag} onSaved=${saved} onCancel=${() => edit(false)} />`
      : html`<div class="actions start">${mayChange(kind, session) && html`<button type="button" onClick=${() => edit(true)}>Edit</button>`}</div>
          <pre class="definition" tabindex="0" aria-label="Definition">${loaded.text}</pre>`)} />`;
}

export function Thing({ kind, name, query, session }) {
  const [isDeleting, setDeleting] = useState(false);
  const [turn, setTurn] = useState(0);
  const target = `${kind.path}/${segment(name)}`;
  const tab = kind.hasRevisions && query.tab === "history" ? "history" : "now";
  // Batches and secrets are looked at only when asked for: it is an entry of the audit log.
  const head = useData(async (signal) => {
    if (!kind.isSecret) return get(target, { signal });
    const found = await get(kind.isNumbered ? path(kind.path, { name, pageSize: 100 }) : path(kind.path, { fieldSelector: `metadata.name=${name}` }), { signal });
    return found.items.find((item) => item.name === name) || null;
  }, [name, turn]);
  useLive((event) => event.subject.kind === kind.logName && event.subject.name === name, head.reload);
  const again = () => setTurn(turn + 1);
  const isGone = head.error?.status === 404 || head.data === null;
  const actions = mayChange(kind, session) && !isGone && html`<button type="button" onClick=${() => setDeleting(true)}>Delete</button>`;
  return html`
    <${Title} above=${{ href: link([kind.place]), text: kind.many }} actions=${actions}>${name}<//>
    ${head.data && html`<p class="under-title"><span>${head.data.version && html`<${Badge}>version ${head.data.version}<//> `}${head.data.selector && html`for <a href=${link(["nodes"], { q: head.data.selector })}>nodes with <code>${head.data.selector}</code></a> `}<span class="quiet">changed <${Time} at=${head.data.updateTime} /></span>${head.data.description && html`<br />${head.data.description}`}</span></p>`}
    ${isGone && html`<${Empty} title=${`There is no ${kind.one} of this name.`}>${kind.hasRevisions && html`<p>If it was deleted, its history can bring it back.</p>`}<//>`}
    ${kind.hasRevisions && html`<${Tabs} label="Parts" parts=${[kind.place, name]} current=${tab} tabs=${[["now", "Now"], ["history", "History"]]} />`}
    ${tab === "history"
      ? html`<${History} kind=${kind} name=${name} session=${session} onChanged=${again} isGone=${isGone} />`
      : !isGone &&
        html`
          ${kind.place === "apps" && html`<${Rollout} name=${name} />`}
          ${kind.users && html`<${Users} kind=${kind} name=${name} />`}
          ${kind.isBatch && html`<${Refused} name=${name} mayChange=${mayChange(kind, session)} />`}
          ${kind.isBatch && mayChange(kind, session) && html`<${BringIn} name=${name} />`}
          <section aria-labelledby="definition-title"><h2 id="definition-title">Definition</h2>
            <${Definition} kind=${kind} name=${name} session=${session} onSaved=${again} />
          </section>
          ${kind.isBatch && html`<${Records} name=${name} mayChange=${mayChange(kind, session)} />`}
          ${kind.place === "channels" && html`<${Messages} name=${name} mayChange=${mayChange(kind, session)} />`}
          ${kind.place === "callbacks" && html`<${Deliveries} name=${name} mayChange=${mayChange(kind, session)} />`}
        `}
    ${isDeleting && html`<${PlanDialog} title=${`Delete ${kind.one} ${name}`} label="Delete" isDanger
      send=${(options, headers) => remove(path(target, options), { headers })}
      onDone=${() => go([kind.place], {}, { replace: true })} onClose=${() => setDeleting(false)} />`}
  `;
}
