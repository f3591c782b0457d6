// The frame around the pages, and who is signed in.
import { html, render, useEffect, useRef, useState } from "./html.js";
import { get, getNamespace, onSignedOut, post, remove, setNamespace } from "./api.js";
import { lastLiveAt, startLive, stopLive, useIsLive } from "./live.js";
import { ago } from "./format.js";
import { go, link, useRoute } from "./route.js";
import { Empty, Icon, Title } from "./ui.js";
import { ChangePassword, hasPassword } from "./own_password.js";
import { restorePlace, SignIn } from "./sign_in.js";
import { Overview } from "./overview.js";
import { Nodes } from "./nodes.js";
import { NamespaceField, Namespaces, roleIn } from "./namespaces.js";
import { Node } from "./node.js";
import { kindAt, kinds, loadKinds } from "./kinds.js";
import { NewThing, Thing, Things } from "./things.js";
import { Audit, Certificates } from "./logs.js";
import { Events } from "./events.js";
import { AddDevice } from "./add_device.js";
import { Approval } from "./approval.js";
import { Guard } from "./guard.js";
import { Rollout, Rollouts } from "./rollouts.js";
import { Palette, usePalette } from "./palette.js";
import { Tokens } from "./tokens.js";

const places = () => [
  ["", "Overview", "overview"],
  ["nodes", "Nodes", "nodes"],
  ...kinds().map((kind) => [kind.place, kind.many, kind.place]),
  ["rollouts", "Rollouts", "rollouts"],
  ["certificates", "Certificates", "certificates"],
  ["events", "Events", "events"],
  ["namespaces", "Namespaces", "namespaces"],
  ["guard", "Guard", "guard"],
  ["tokens", "Tokens", "tokens"],
  ["audit", "Audit", "audit"],
];
const ADMINS_PLACES = new Set(["audit", "tokens"]);

/** Whether the menu has the page at *place* for who is signed in. */
const isShown = (place, session) =>
  ADMINS_PLACES.has(place) ? session.role === "admin" : place !== "namespaces" || session.namespace === "*";

const BANNER_AFTER = 4000;

const store = {
  read(key) {
    try {
      return localStorage.getItem(`edgesync.${key}`) || "";
    } catch {
      return "";
    }
  },
  write(key, value) {
    try {
      if (value) localStorage.setItem(`edgesync.${key}`, value);
      else localStorage.removeItem(`edgesync.${key}`);
    } catch {
      /* storage is off: it is asked again next time */
    }
  },
};

function ThemeSwitch() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme || "");
  const choose = (event) => {
    const value = event.currentTarget.value;
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    store.write("theme", value);
    setTheme(value);
  };
  return html`<label class="field-inline"><span><${Icon} name="theme" />Theme</span>
    <select value=${theme} onChange=${choose}>
      <option value="">System</option><option value="light">Light</option><option value="dark">Dark</option>
    </select>
  </label>`;
}

function Live() {
  const isLive = useIsLive();
  return html`<span class=${`live ${isLive ? "on" : ""}`} role="status"><i></i>${isLive ? "Live" : "Connecting…"}</span>`;
}

/** Shown once the connection has been lost for a while: how old is what the pages show. */
function Disconnected() {
  const isLive = useIsLive();
  const [since, setSince] = useState(null);
  useEffect(() => {
    setSince(null);
    if (isLive) return undefined;
    const timer = setInterval(() => setSince(lastLiveAt()), BANNER_AFTER);
    return () => clearInterval(timer);
  }, [isLive]);
  if (isLive || since === null) return null;
  return html`<p class="banner" role="alert">No connection to the server. What is shown is from ${ago(new Date(since).toISOString())}; the page reconnects by itself.</p>`;
}

function Page({ route, session }) {
  const [place = "", name, more] = route.parts;
  const shared = { session, query: route.query };
  if (place === "") return html`<${Overview} ...${shared} />`;
  if (place === "nodes" && !name) return html`<${Nodes} ...${shared} />`;
  if (place === "nodes") return html`<${Node} key=${name} name=${name} ...${shared} />`;
  if (place === "rollouts" && !name) return html`<${Rollouts} />`;
  if (place === "rollouts") return html`<${Rollout} key=${name} name=${name} ...${shared} />`;
  if (place === "events") return html`<${Events} ...${shared} />`;
  if (place === "audit") return html`<${Audit} ...${shared} />`;
  if (place === "add") return html`<${AddDevice} ...${shared} />`;
  if (place === "namespaces") return html`<${Namespaces} />`;
  if (place === "guard") return html`<${Guard} ...${shared} />`;
  if (place === "tokens") return html`<${Tokens} ...${shared} />`;
  if (place === "login") return html`<${Approval} ...${shared} />`;
  if (place === "certificates") return html`<${Certificates} ...${shared} />`;
  const kind = kindAt(place);
  if (kind && !name) return html`<${Things} key=${place} kind=${kind} ...${shared} />`;
  if (kind && name === "+") return html`<${NewThing} key=${place} kind=${kind} ...${shared} />`;
  if (kind && !more) return html`<${Thing} key=${`${place}/${name}`} kind=${kind} name=${name} ...${shared} />`;
  return html`<${Title}>Not found<//><${Empty} title="There is no such page."><p><a href="#/">Go to the overview</a></p><//>`;
}

function Frame({ session: signedIn, onLeave }) {
  const route = useRoute();
  const [isOpen, setOpen] = useState(false);
  const [isFinding, find] = usePalette();
  const [isChanging, setChanging] = useState(false);
  const [, renew] = useState(0);
  const select = (value) => {
    setNamespace(value);
    store.write("namespace", value);
  };
  // An address may name the namespace that it is about.
  const followed = useRef(null);
  if (signedIn.namespace === "*" && route.query.namespace && followed.current !== route) select(route.query.namespace);
  followed.current = route;
  const namespace = getNamespace();
  const session = { ...signedIn, role: roleIn(signedIn, namespace) };
  const place = route.parts[0] || "";
  useEffect(() => setOpen(false), [route]);
  useEffect(() => {
    startLive();
    return stopLive;
  }, [namespace]);
  const change = (value) => {
    if (value === getNamespace()) return;
    select(value);
    renew((turn) => turn + 1);
    if (route.parts.length > 1 || route.query.namespace) go([place].filter(Boolean));
  };
  const skip = (event) => {
    event.preventDefault();
    document.querySelector("main h1")?.focus();
  };
  const shown = places().filter(([key]) => isShown(key, session));
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <div class="frame">
      <header class="top">
        <button type="button" class="bare menu-button" aria-expanded=${isOpen} aria-controls="menu" aria-label="Menu" onClick=${() => setOpen(!isOpen)}><${Icon} name=${isOpen ? "close" : "menu"} /></button>
        <a class="brand" href="#/"><img src="/dashboard/icon.svg" alt="" width="26" height="26" />edgesync</a>
        <${Live} />
      </header>
      <aside id="menu" aria-label="Menu and session" class=${`side ${isOpen ? "open" : ""}`}>
        <button type="button" class="goto" onClick=${() => find(true)}><${Icon} name="search" />Go to… <kbd>Ctrl K</kbd></button>
        <nav aria-label="Pages of the dashboard">
          <ul>
            ${shown.map(
              ([key, name, icon]) => html`<li key=${key}>
                <a href=${link(key ? [key] : [])} aria-current=${key === place ? "page" : undefined}><${Icon} name=${icon} />${name}</a>
              </li>`,
            )}
          </ul>
        </nav>
        <div class="side-foot">
          <${NamespaceField} key=${namespace} session=${session} onChange=${change} />
          <${ThemeSwitch} />
          <p class="field-inline"><span>Signed in</span><b title=${`Role ${session.role}`}>${session.name || "admin.token"}</b></p>
          <div class="side-links">
            <a href="/docs">API</a>
            ${hasPassword(signedIn) && html`<button type="button" class="bare" onClick=${() => setChanging(true)}>Password</button>`}
            <button type="button" class="bare" onClick=${onLeave}><${Icon} name="out" />Sign out</button>
          </div>
        </div>
      </aside>
      ${isChanging && html`<${ChangePassword} session=${signedIn} onClose=${() => setChanging(false)} />`}
      ${isFinding && html`<${Palette} pages=${shown} onClose=${() => find(false)} />`}
      <main id="main"><${Disconnected} /><${Page} key=${namespace} route=${route} session=${session} /></main>
    </div>
  `;
}

function App() {
  const [session, setSession] = useState(null);
  const [failure, setFailure] = useState(null);
  const [reason, setReason] = useState("");
  const ask = async (why = "") => {
    try {
      const found = await get("/session");
      if (found.signedIn) {
        restorePlace();
        const chosen = found.namespace === "*" ? store.read("namespace") || found.defaultNamespace : found.namespace;
        setNamespace(chosen);
        await loadKinds();
      }
      setReason(found.reason || why);
      setSession(found);
      setFailure(null);
    } catch (error) {
      setFailure(error);
    }
  };
  useEffect(() => {
    ask();
    return onSignedOut((why) => ask(why));
  }, []);
  if (failure)
    return html`<div class="boot" role="alert"><p>${failure.message}</p><button type="button" onClick=${() => ask()}>Try again</button></div>`;
  if (!session) return html`<p class="boot" role="status">Loading the dashboard…</p>`;
  if (!session.signedIn) {
    const enter = async (target, shown) => {
      await post(target, shown);
      await ask();
    };
    return html`<${SignIn} reason=${reason} onEnter=${enter} />`;
  }
  const leave = async () => {
    await remove("/session");
    stopLive();
    await ask("You have signed out.");
  };
  return html`<${Frame} session=${session} onLeave=${leave} />`;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
