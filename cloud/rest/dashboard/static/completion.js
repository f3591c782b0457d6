// What can stand at a place of a YAML document, by the schemas of the OpenAPI document.

const KEY = /^(\s*)((?:- +)*)(?:"([^"]+)"|([\w./-]+))\s*:/;

/** Column at which the keys of a line begin, `- ` counted in; Infinity for an empty line. */
function columnOf(line) {
  const found = /^(\s*(?:- +)*)\S/.exec(line);
  return !found || /^\s*#/.test(line) ? Infinity : found[1].length;
}

/** The keys that lead to what is at *column* of the line at *index*. */
export function keysTo(lines, index, column) {
  const keys = [];
  let limit = column;
  for (let at = index - 1; at >= 0 && limit > 0; at -= 1) {
    const own = columnOf(lines[at]);
    const found = KEY.exec(lines[at]);
    if (!found || own >= limit) continue;
    keys.unshift(found[3] || found[4]);
    limit = own;
  }
  return keys;
}

function resolved(document, schema) {
  let found = schema;
  for (let turn = 0; found && turn < 20; turn += 1) {
    if (found.$ref) found = found.$ref.replace("#/", "").split("/").reduce((part, key) => part?.[key], document);
    else if (found.anyOf) found = found.anyOf.find((one) => one.type !== "null") || found.anyOf[0];
    else if (found.type === "array") found = found.items;
    else break;
  }
  return found;
}

function schemaAt(document, root, keys) {
  return keys.reduce((schema, key) => {
    const here = resolved(document, schema);
    return here?.properties?.[key] || (typeof here?.additionalProperties === "object" ? here.additionalProperties : undefined);
  }, root);
}

const kindOf = (schema) => (schema?.enum ? "one of a few" : schema?.type === "object" || schema?.properties ? "object" : schema?.type || "");

/** Completions at the *character* of the line at *index*, for the body that is posted to *path*. */
export function completionsAt(document, path, lines, index, character) {
  const body = document.paths[path]?.post?.requestBody || document.paths[path]?.put?.requestBody;
  const root = body && Object.values(body.content)[0]?.schema;
  if (!root) return [];
  const before = lines[index].slice(0, character);
  const value = /^(\s*(?:- +)*)([\w./-]+)\s*:\s+\S*$/.exec(before);
  if (value) {
    const schema = resolved(document, schemaAt(document, root, [...keysTo(lines, index, value[1].length), value[2]]));
    const words = schema?.enum || (schema?.type === "boolean" ? [true, false] : []);
    return words.map((word) => ({ label: String(word), type: "constant" }));
  }
  const start = /^(\s*(?:- +)*)[\w.-]*$/.exec(before);
  if (!start) return [];
  const schema = resolved(document, schemaAt(document, root, keysTo(lines, index, start[1].length)));
  const required = new Set(schema?.required || []);
  return Object.entries(schema?.properties || {}).map(([key, one]) => ({
    label: key,
    apply: `${key}: `,
    type: "property",
    detail: [kindOf(resolved(document, one) || one), required.has(key) && "required"].filter(Boolean).join(", "),
    info: one.description || undefined,
  }));
}
