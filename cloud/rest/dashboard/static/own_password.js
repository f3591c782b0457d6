// The password of a local user, changed by the user.
import { html, useState } from "./html.js";
import { post } from "./api.js";
import { Dialog, Failure } from "./ui.js";

const LOCAL = "local:";

/** Whether the server keeps the password of who is signed in. */
export const hasPassword = (session) => session.name.startsWith(LOCAL);

export function ChangePassword({ session, onClose }) {
  const [error, setError] = useState(null);
  const [isDone, setDone] = useState(false);
  const name = session.name.slice(LOCAL.length);
  const change = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget));
    try {
      if (given.newPassword !== given.again) throw new Error("The new password is not the same both times.");
      await post("/login/local/password", { name, password: given.password, code: given.code.trim(), newPassword: given.newPassword });
      setDone(true);
    } catch (failed) {
      setError(failed);
    }
  };
  if (isDone)
    return html`<${Dialog} title="Password changed" onClose=${onClose} actions=${html`<button type="button" class="main" onClick=${onClose}>Done</button>`}>
      <p role="status">You stay signed in here. Your other sessions have ended.</p>
    <//>`;
  return html`<${Dialog} title=${`Password of ${name}`} onClose=${onClose}
    actions=${html`<button type="button" onClick=${onClose}>Cancel</button><button type="submit" form="password-form" class="main">Change</button>`}>
    <form id="password-form" onSubmit=${change}>
      <input type="hidden" name="username" autocomplete="username" value=${name} />
      <label class="stacked">Present password <input type="password" name="password" required autocomplete="current-password" /></label>
      <label class="stacked">Code of your app, if you have one <input name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="10" /></label>
      <label class="stacked">New password <input type="password" name="newPassword" required minlength="12" maxlength="256" autocomplete="new-password" /></label>
      <label class="stacked">New password again <input type="password" name="again" required maxlength="256" autocomplete="new-password" /></label>
      ${error && html`<${Failure} error=${error} />`}
    </form>
  <//>`;
}
