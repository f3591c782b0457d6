// Add a device: what it becomes, the command for its shell, and live whether it has connected.
import { html, useEffect, useState } from "./html.js";
import { get, path, post, segment } from "./api.js";
import { onEvent, useLive } from "./live.js";
import { parseLabels } from "./labels.js";
import { go, link } from "./route.js";
import { Badge, Copyable, Empty, Failure, Icon, Loaded, Time, Title, useData, useRepeated } from "./ui.js";

const CHOICES = 100;
const AGAIN = 5000;

function NewNode({ onCommand }) {
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.currentTarget));
    try {
      const node = await post("/v1/nodes", { name: form.name.trim(), labels: parseLabels(form.labels) });
      onCommand({ node: node.name });
    } catch (failed) {
      setError(failed);
    }
  };
  return html`<form onSubmit=${submit}>
    <label class="stacked">Name of the node <input name="name" required autocomplete="off" spellcheck=${false} placeholder="gate-7" /></label>
    <label class="stacked">Labels <input name="labels" autocomplete="off" spellcheck=${false} placeholder="role=gateway, site=north" /></label>
    <p class="quiet">Apps reach the nodes whose labels match their selector.</p>
    ${error && html`<${Failure} error=${error} />`}
    <div class="actions start"><button type="submit" class="main">Create the node</button></div>
  </form>`;
}

function FromBatch({ onCommand }) {
  const state = useData((signal) => get(path("/v1/register", { pageSize: CHOICES }), { signal }), []);
  return html`<${Loaded} state=${state} lines=${3} show=${(page) =>
    page.items.length
      ? html`<form onSubmit=${(event) => { event.preventDefault(); onCommand({ batch: new FormData(event.currentTarget).get("batch") }); }}>
          <label class="stacked">Batch <select name="batch">${page.items.map((batch) => html`<option key=${batch.name} value=${batch.name}>${batch.name}${batch.description ? `: ${batch.description}` : ""}</option>`)}</select></label>
          <p class="quiet">The device becomes a node with the labels of the batch.</p>
          <div class="actions start"><button type="submit" class="main">Use this batch</button></div>
        </form>`
      : html`<${Empty} title="No batch yet"><p><a href=${link(["batches", "+"])}>Create a batch</a>, or add one node by its name.</p><//>`} />`;
}

function Command({ target }) {
  const base = target.node ? `/v1/nodes/${segment(target.node)}/init` : `/v1/register/${segment(target.batch)}/init`;
  const state = useData((signal) => get(base, { signal }), [base]);
  return html`<${Loaded} state=${state} lines=${3} show=${(answer) => html`
    <p>Run this on the device, as a user who may use Docker or Podman, or as root. It is valid once and for an hour.</p>
    <${Copyable} text=${answer.cmd} label="Installation command" />
  `} />`;
}

/** Names of nodes that were activated from the batch since this was shown, or the one node. */
function useArrivals(target) {
  const [names, setNames] = useState(target.node ? [target.node] : []);
  useEffect(() => {
    if (target.node) return undefined;
    return onEvent((event) => {
      if (event.type === "node.activated" && event.data.batch === target.batch)
        setNames((before) => (before.includes(event.subject.name) ? before : [...before, event.subject.name]));
    });
  }, [target]);
  return names;
}

function Arrival({ name }) {
  const state = useData((signal) => get(`/v1/nodes/${segment(name)}`, { signal }), [name]);
  useLive((event) => event.subject.kind === "node" && event.subject.name === name, state.reload);
  useRepeated(state.reload, AGAIN);
  const node = state.data;
  const isHere = node?.state.name === "online";
  return html`<li data-testid=${`arrival-${name}`}>
    <a href=${link(["nodes", name])}>${name}</a>${" "}
    ${isHere
      ? html`<${Badge} tone="good">connected<//> reported <${Time} at=${node.state.lastReport} />`
      : html`<${Badge} tone="warn">waiting<//> <span class="quiet">${node ? node.state.reason : ""}</span>`}
  </li>`;
}

function Watch({ target }) {
  const names = useArrivals(target);
  return html`<section class="card" aria-labelledby="arrivals-title" aria-live="polite">
    <h2 id="arrivals-title">3. The device connects</h2>
    ${names.length
      ? html`<ul class="plain">${names.map((name) => html`<${Arrival} key=${name} name=${name} />`)}</ul>`
      : html`<p class="quiet">Waiting for a device of batch ${target.batch}. It appears here as soon as it is activated.</p>`}
  </section>`;
}

export function AddDevice({ query, session }) {
  const target = query.node ? { node: query.node } : query.batch ? { batch: query.batch } : null;
  const way = query.way || "node";
  const choose = (chosen) => go(["add"], chosen);
  if (session.role === "viewer")
    return html`<${Title}>Add a device<//><${Empty} title="A viewer changes nothing."><p>Sign in with a token that has the role operator.</p><//>`;
  return html`
    <${Title} above=${{ href: link(["nodes"]), text: "Nodes" }}>Add a device<//>
    <section class="card" aria-labelledby="what-title">
      <h2 id="what-title">1. What it becomes</h2>
      ${target
        ? html`<p>${target.node ? "The node " : "A node of the batch "}<b>${target.node || target.batch}</b> <button type="button" class="bare" onClick=${() => choose({})}><${Icon} name="back" />Choose again</button></p>`
        : html`
            <p class="choices">
              <label class="check"><input type="radio" name="way" checked=${way === "node"} onChange=${() => choose({ way: "node" })} /> One node, by its name</label>
              <label class="check"><input type="radio" name="way" checked=${way === "batch"} onChange=${() => choose({ way: "batch" })} /> A device of a batch</label>
            </p>
            ${way === "node" ? html`<${NewNode} onCommand=${choose} />` : html`<${FromBatch} onCommand=${choose} />`}
          `}
    </section>
    ${target && html`
      <section class="card" aria-labelledby="command-title"><h2 id="command-title">2. The command for its shell</h2><${Command} target=${target} /></section>
      <${Watch} key=${JSON.stringify(target)} target=${target} />
    `}
  `;
}
