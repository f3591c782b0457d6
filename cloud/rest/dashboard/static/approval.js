// Where a user confirms that a command line may act for them.
import { html, useState } from "./html.js";
import { get, path, post } from "./api.js";
import { Failure, Time, Title } from "./ui.js";

const CLOSE = "You can close this page.";

function Question({ session, children, decide }) {
  const [outcome, setOutcome] = useState("");
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const answer = (approve) => async () => {
    setBusy(true);
    setError(null);
    try {
      const { location: target } = await decide(approve);
      if (target) location.replace(target);
      setOutcome(approve ? `The command line is logged in. ${CLOSE}` : `The login was refused. ${CLOSE}`);
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  if (outcome) return html`<p role="status">${outcome}</p>`;
  return html`
    ${children}
    <p>It may do everything that <b>${session.name}</b> may, for as long as a session of the browser lasts.</p>
    ${error && html`<${Failure} error=${error} />`}
    <p class="actions">
      <button type="button" class="main" disabled=${isBusy} onClick=${answer(true)}>Log in</button>
      <button type="button" disabled=${isBusy} onClick=${answer(false)}>Refuse</button>
    </p>
  `;
}

// Of the code in a link one half is filled in: a link alone, which anyone can send, confirms nothing.
const FIRST_HALF = 5;

function Device({ session, code }) {
  const [typed, setTyped] = useState(code.slice(0, FIRST_HALF));
  const [login, setLogin] = useState(null);
  const [error, setError] = useState(null);
  const look = async (wanted) => {
    setError(null);
    try {
      setLogin(await get(path("/login/approval", { code: wanted })));
    } catch (failed) {
      setError(failed);
    }
  };
  const submit = (event) => {
    event.preventDefault();
    look(typed.trim());
  };
  if (login)
    return html`<${Question} session=${session} decide=${(approve) => post("/login/approval", { code: login.code, approve })}>
      <p>A command line at <b>${login.address}</b> asked to log in <${Time} at=${login.createTime} />. Go on only if you started it yourself, and if it shows this code:</p>
      <p class="user-code">${login.code}</p>
    <//>`;
  return html`<form onSubmit=${submit}>
    <label class="stacked">Code that the command line shows <input name="code" required autocomplete="off" autocapitalize="characters" spellcheck=${false} maxlength="20" value=${typed} onInput=${(event) => setTyped(event.currentTarget.value)} /></label>
    ${code && html`<p>The link has the first half. Type the rest as the command line shows it, if you started that yourself.</p>`}
    ${error && html`<${Failure} error=${error} />`}
    <p><button type="submit" class="main">Go on</button></p>
  </form>`;
}

export function Approval({ session, query }) {
  const { request = "", code = "" } = query;
  return html`
    <${Title}>Log in on the command line<//>
    <section class="card">
      ${request
        ? html`<${Question} session=${session} decide=${(approve) => post("/login/approval", { request, approve })}>
            <p>A command line on this machine asks to log in. Go on only if you started it yourself.</p>
          <//>`
        : html`<${Device} key=${code} session=${session} code=${code} />`}
    </section>
  `;
}
