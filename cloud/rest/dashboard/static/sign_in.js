// The way in: an identity provider, a local user, or a token; each leads to a cookie that no script can read.
import { html, useEffect, useRef, useState } from "./html.js";
import { get, segment } from "./api.js";

const REFUSALS = {
  refused: "The sign-in was refused: no access rule is for this user, or it took too long. The audit log has the reason.",
  unavailable: "The identity provider cannot be reached. Try again, or sign in with a token.",
};

const PLACE = "edgesync.place";

/** Remember the page that was asked for, while a provider has the browser. */
const keepPlace = () => sessionStorage.setItem(PLACE, location.hash);

/** Go to the page that was asked for before a provider had the browser. */
export function restorePlace() {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (place && !location.hash) location.hash = place;
}

/** What became of the sign-in that the browser is back from; the address is cleared of it. */
function refusal() {
  const query = new URLSearchParams(location.search);
  const found = REFUSALS[query.get("signIn")] || "";
  if (query.has("signIn")) history.replaceState(null, "", location.pathname + location.hash);
  return found;
}

/** The ways to sign in, as the server offers them. */
function useWays() {
  const [ways, setWays] = useState(null);
  useEffect(() => {
    get("/login").then(setWays, () => setWays({ providers: [], local: false }));
  }, []);
  return ways;
}

function Providers({ providers }) {
  const shown = providers.filter((one) => one.signIn);
  if (!shown.length) return null;
  return html`<nav class="providers" aria-label="Identity providers">
    ${shown.map((one) => html`<a class="button main" key=${one.name} href=${`/login/${segment(one.name)}`} onClick=${keepPlace}>Sign in with ${one.label}</a>`)}
    <p class="quiet">or:</p>
  </nav>`;
}

function TokenFields({ invalid }) {
  return html`
    <label for="token">Token</label>
    <input id="token" type="password" name="token" autocomplete="current-password" spellcheck=${false} required
      aria-invalid=${invalid} aria-describedby="token-help" />`;
}

function UserFields({ invalid }) {
  return html`
    <label for="name">Name</label>
    <input id="name" name="name" autocomplete="username" autocapitalize="none" spellcheck=${false} required aria-invalid=${invalid} />
    <label for="password">Password</label>
    <input id="password" type="password" name="password" autocomplete="current-password" required aria-invalid=${invalid} />
    <label for="code">Code of your app, if you have one</label>
    <input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="10" aria-invalid=${invalid} />`;
}

const TOKEN_HELP = html`<div id="token-help" class="quiet">
  <p>The administrator's token is in <code>admin.token</code> of the data directory. For people, make one each:</p>
  <pre tabindex="0" aria-label="Command to make one">edgesync token create NAME --role operator</pre>
  <p>The session lasts 12 hours, and not longer than the token.</p>
</div>`;

export function SignIn({ reason, onEnter }) {
  const form = useRef();
  const ways = useWays();
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [wantsToken, setWantsToken] = useState(false);
  const [refused] = useState(refusal);
  const isLocal = Boolean(ways && ways.local) && !wantsToken;
  const focus = () => form.current.querySelector("input").focus();
  useEffect(() => {
    document.title = "Sign in · edgesync";
  }, []);
  useEffect(() => {
    if (ways) focus();
  }, [ways, isLocal]);
  if (!ways) return html`<p class="boot" role="status">Loading…</p>`;
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget));
    setBusy(true);
    setError(null);
    try {
      if (isLocal) await onEnter("/login/local", { name: given.name.trim(), password: given.password, code: given.code.trim() });
      else await onEnter("/session", { token: given.token.trim() });
    } catch (failed) {
      setError(failed);
      setBusy(false);
      focus();
    }
  };
  const change = () => {
    setError(null);
    setWantsToken(!wantsToken);
  };
  const invalid = error ? "true" : undefined;
  return html`
    <main class="sign-in">
      <form ref=${form} onSubmit=${submit} novalidate>
        <p class="brand"><img src="/dashboard/icon.svg" alt="" width="40" height="40" />edgesync</p>
        <h1>Sign in</h1>
        ${reason && !error && html`<p class="notice" role="status">${reason}</p>`}
        ${refused && !error && html`<div class="failure" role="alert"><p>${refused}</p></div>`}
        <${Providers} providers=${ways.providers} />
        ${isLocal ? html`<${UserFields} invalid=${invalid} />` : html`<${TokenFields} invalid=${invalid} />`}
        ${error &&
        html`<div class="failure" role="alert">
          <p>${error.message}</p>
          ${error.requestId && html`<p class="quiet">request <code>${error.requestId}</code></p>`}
        </div>`}
        <button type="submit" class="main" disabled=${isBusy}>${isBusy ? "Signing in…" : "Sign in"}</button>
        ${ways.local && html`<button type="button" onClick=${change}>${isLocal ? "Use a token instead" : "Use name and password"}</button>`}
        ${!isLocal && TOKEN_HELP}
      </form>
    </main>
  `;
}
