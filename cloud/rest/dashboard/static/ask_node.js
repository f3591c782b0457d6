// A command to a node, and its responses as they come.
import { get, path, post, segment } from "./api.js";

const WAIT_SECONDS = 20;
const OPEN = new Set(["waiting", "sent"]);

/** Whether the node may still respond to the command of *answer*. */
export const isOpen = (answer) => OPEN.has(answer.status);

/**
 * Give *node* the *command* and hand each state of it to *onAnswer*, with the output since the one
 * before: until it ends, *rounds* of waiting are over, or *signal* is aborted.
 */
export async function askNode(node, command, onAnswer, { signal, rounds = Infinity } = {}) {
  const base = `/v1/nodes/${segment(node)}/commands`;
  let answer = await post(base, command, { signal });
  onAnswer(answer);
  for (let round = 0, after = 0; round < rounds && isOpen(answer); round += 1) {
    answer = await get(path(`${base}/${segment(answer.id)}`, { wait: WAIT_SECONDS, after }), { signal });
    after = answer.outputEnd ?? after;
    onAnswer(answer);
  }
}
