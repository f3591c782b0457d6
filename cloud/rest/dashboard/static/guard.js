// The guard of the namespace: from how many nodes on a change has to be confirmed.
import { html, useEffect, useState } from "./html.js";
import { get, put } from "./api.js";
import { Failure, Loaded, Title, useData } from "./ui.js";

function words({ maxShare, minNodes }) {
  if (maxShare >= 1) return "Off: no change has to be confirmed.";
  const share = `more than ${Math.round(maxShare * 100)} % of the nodes`;
  return minNodes > 1 ? `A change of ${share}, and of ${minNodes} nodes or more, has to be confirmed.` : `A change of ${share} has to be confirmed.`;
}

function Form({ guard, session, onSaved }) {
  const [percent, setPercent] = useState(Math.round(guard.maxShare * 100));
  const [minNodes, setMinNodes] = useState(guard.minNodes);
  const [error, setError] = useState(null);
  const [isSaved, setSaved] = useState(false);
  useEffect(() => {
    setPercent(Math.round(guard.maxShare * 100));
    setMinNodes(guard.minNodes);
  }, [guard]);
  const save = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      await put("/v1/guard", { maxShare: Number(percent) / 100, minNodes: Number(minNodes) });
      setSaved(true);
      onSaved();
    } catch (failed) {
      setError(failed);
    }
  };
  const edit = (set) => (event) => {
    set(event.currentTarget.value);
    setSaved(false);
  };
  const isAdmin = session.role === "admin";
  return html`<section class="card" aria-labelledby="guard-title">
    <h2 id="guard-title">Now</h2>
    <p class="lead">${words(guard)}</p>
    <form class="row" onSubmit=${save}>
      <label>Largest share of nodes without confirmation, % <input type="number" min="0" max="100" required value=${percent} disabled=${!isAdmin} onInput=${edit(setPercent)} /></label>
      <label>Smaller changes always pass: fewer than so many nodes <input type="number" min="0" required value=${minNodes} disabled=${!isAdmin} onInput=${edit(setMinNodes)} /></label>
      ${isAdmin && html`<button type="submit" class="main">Save</button>`}
    </form>
    ${isSaved && html`<p role="status">Saved.</p>`}
    ${!isAdmin && html`<p class="quiet">Changing it takes the role admin.</p>`}
    ${error && html`<${Failure} error=${error} />`}
  </section>`;
}

export function Guard({ session }) {
  const state = useData((signal) => get("/v1/guard", { signal }), []);
  return html`
    <${Title}>Guard<//>
    <p class="quiet">Protects the namespace from a change that reaches more nodes than was meant. 100 % is off.</p>
    <${Loaded} state=${state} lines=${4} show=${(guard) => html`<${Form} guard=${guard} session=${session} onSaved=${state.reload} />`} />
  `;
}
