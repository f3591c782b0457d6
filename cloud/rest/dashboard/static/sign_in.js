// The way in: an identity provider, or a token that is exchanged for a cookie that no script can read.
import { html, useEffect, useRef, useState } from "./html.js";
import { get, segment } from "./api.js";

const REFUSALS = {
  refused: "The sign-in was refused: no access rule is for this user, or it took too long. The audit log has the reason.",
  unavailable: "The identity provider cannot be reached. Try again, or sign in with a token.",
};

/** What became of the sign-in that the browser is back from; the address is cleared of it. */
function refusal() {
  const query = new URLSearchParams(location.search);
  const found = REFUSALS[query.get("signIn")] || "";
  if (query.has("signIn")) history.replaceState(null, "", location.pathname + location.hash);
  return found;
}

function Providers() {
  const [providers, setProviders] = useState([]);
  useEffect(() => {
    get("/login").then((found) => setProviders(found.providers.filter((one) => one.signIn)), () => {});
  }, []);
  if (!providers.length) return null;
  return html`<nav class="providers" aria-label="Identity providers">
    ${providers.map((one) => html`<a class="button main" key=${one.name} href=${`/login/${segment(one.name)}`}>Sign in with ${one.label}</a>`)}
    <p class="quiet">or with a token:</p>
  </nav>`;
}

export function SignIn({ reason, onEnter }) {
  const field = useRef();
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [refused] = useState(refusal);
  useEffect(() => {
    document.title = "Sign in · edgesync";
    field.current.focus();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onEnter(field.current.value.trim());
    } catch (failed) {
      setError(failed);
      setBusy(false);
      field.current.select();
    }
  };
  return html`
    <main class="sign-in">
      <form onSubmit=${submit} novalidate>
        <p class="brand"><img src="/dashboard/icon.svg" alt="" width="40" height="40" />edgesync</p>
        <h1>Sign in</h1>
        ${reason && !error && html`<p class="notice" role="status">${reason}</p>`}
        ${refused && !error && html`<div class="failure" role="alert"><p>${refused}</p></div>`}
        <${Providers} />
        <label for="token">Token</label>
        <input id="token" ref=${field} type="password" name="token" autocomplete="current-password" spellcheck=${false} required
          aria-invalid=${error ? "true" : undefined} aria-describedby="token-help" />
        ${error &&
        html`<div class="failure" role="alert">
          <p>${error.message}</p>
          ${error.requestId && html`<p class="quiet">request <code>${error.requestId}</code></p>`}
        </div>`}
        <button type="submit" class="main" disabled=${isBusy}>${isBusy ? "Signing in…" : "Sign in"}</button>
        <div id="token-help" class="quiet">
          <p>The administrator's token is in <code>admin.token</code> of the data directory. For people, make one each:</p>
          <pre tabindex="0" aria-label="Command to make one">edgesync token create NAME --role operator</pre>
          <p>The session lasts 12 hours, and not longer than the token.</p>
        </div>
      </form>
    </main>
  `;
}
