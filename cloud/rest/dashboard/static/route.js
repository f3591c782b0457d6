// Which page: what stands behind the # of the address, as /nodes/n1?tab=history.
import { useEffect, useState } from "./html.js";

function read() {
  const [where, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = where.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function useRoute() {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => setRoute(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** The address of a page. */
export function link(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const tail = given.length ? `?${new URLSearchParams(given)}` : "";
  return `#/${parts.map(encodeURIComponent).join("/")}${tail}`;
}

/** The address of the list of nodes on which *app* stands so: running, pending or failed. */
export const nodesOf = (app, status) => link(["nodes"], { field: `status.apps.${app}=${status}` });

/** Go to a page; *replace* leaves no way back to this one. */
export function go(parts, query = {}, { replace = false } = {}) {
  const target = link(parts, query);
  if (replace) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = target;
}
