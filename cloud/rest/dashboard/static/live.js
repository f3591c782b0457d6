// Events, as the server sends them. One stream for all pages; the browser takes it up again
// where it broke off (Last-Event-ID).
import { get, getNamespace, path } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";
import { eventTypes } from "./event_types.js";

const listeners = new Set();
const watchers = new Set();
let source = null;
let isLive = false;
let lastLive = null;
let timer = 0;

const PAUSE = 3000;

function setLive(value) {
  if (value || isLive) lastLive = Date.now();
  if (isLive === value) return;
  isLive = value;
  watchers.forEach((notify) => notify(value));
}

export function stopLive() {
  clearTimeout(timer);
  if (source) source.close();
  source = null;
  setLive(false);
}

async function tryAgain() {
  const mine = source;
  try {
    await get(path("/v1/events", { limit: 1 }));
  } catch {
    /* notified by then, or the server cannot be reached */
  }
  if (source === mine && mine) startLive();
}

/** Begin, or begin anew in another namespace. */
export function startLive() {
  stopLive();
  source = new EventSource(path("/v1/events", { namespace: getNamespace() }));
  source.onopen = () => setLive(true);
  source.onerror = () => {
    setLive(false);
    // Closed for good by an answer that is no stream. Another call finds whether the session is
    // still valid; if it is, the stream is opened again.
    if (source && source.readyState === EventSource.CLOSED) timer = setTimeout(tryAgain, PAUSE);
  };
  const hear = (message) => {
    const event = JSON.parse(message.data);
    listeners.forEach((notify) => notify(event));
  };
  for (const type of eventTypes()) source.addEventListener(type, hear);
}

/** When the stream was last open, in milliseconds; null before it was. */
export const lastLiveAt = () => lastLive;

/** Whether the stream is open. */
export function useIsLive() {
  const [value, setValue] = useState(isLive);
  useEffect(() => {
    watchers.add(setValue);
    setValue(isLive);
    return () => watchers.delete(setValue);
  }, []);
  return value;
}

/** Call *listener* with each event of the stream; returns what ends that. */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Call *act* after events that *matches* accepts: soon, and not more often than every *pause*. */
export function useLive(matches, act, pause = 1500) {
  const latest = useRef();
  latest.current = { matches, act };
  useEffect(() => {
    let waiting = 0;
    let last = 0;
    const hear = (event) => {
      if (waiting || !latest.current.matches(event)) return;
      const wait = Math.max(150, last + pause - Date.now());
      waiting = setTimeout(() => {
        waiting = 0;
        last = Date.now();
        latest.current.act();
      }, wait);
    };
    const leave = onEvent(hear);
    return () => {
      clearTimeout(waiting);
      leave();
    };
  }, [pause]);
}
