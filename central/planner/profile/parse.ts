import { TesseraError } from '../../../shared/errors.ts';
import { parse } from '../../../shared/schema.ts';
import { type Profile, type ProfiledNode, profileSchema } from './schema.ts';

const HINT = '`tessera schema profile` prints the form of a profile';

function refuse(field: string, problem: string): never {
  throw new TesseraError('TESSERA_PROFILE', `profile: ${field}: ${problem}`, { hint: HINT });
}

/**
 * A profile from JSON, in the full or the bare form; unknown keys are dropped. Throws TESSERA_PROFILE with the field, the
 * value and what is accepted.
 */
export function parseProfile(value: unknown): Profile {
  const profile = parse(profileSchema, value, 'TESSERA_PROFILE', 'profile', HINT);
  checkBlocks(profile);
  checkLayers(profile);
  checkNames(profile);
  profile.nodes.forEach((node, index) => {
    checkNode(profile, node, `nodes[${index}]`);
  });
  return profile;
}

/** The blocks divide the layers, or there are no layers. */
function checkBlocks({ format, sha256, blocks, layers }: Profile): void {
  if (format !== undefined && sha256 === undefined) refuse('sha256', 'is missing');
  const seen = new Set<string>();
  let next = 0;
  blocks.forEach(({ name, cut, layers: range }, index) => {
    const at = `blocks[${index}]`;
    if (layers === undefined) {
      if (range !== undefined || cut !== undefined)
        refuse(at, 'has `layers` or `cut`, but the profile has no `layers`');
      if (seen.has(name) || name === 'input') refuse(`${at}.name`, `"${name}" is the name of another tensor`);
      seen.add(name);
      return;
    }
    if (range === undefined || cut === undefined) refuse(at, 'needs `layers` and `cut`, as the profile has `layers`');
    if (range[0] !== next || range[1] < next)
      refuse(`${at}.layers`, `[${range.join(', ')}] does not start at layer ${next}, where the block before it ends`);
    next = range[1] + 1;
  });
  if (layers !== undefined && next !== layers.length)
    refuse('blocks', `have ${next} layers, and the profile has ${layers.length}`);
}

/** Layers are in topological order, every tensor is made once, and a cut names tensors that were made before it. */
function checkLayers({ layers = [], blocks }: Profile): void {
  const made = new Map<string, number>();
  layers.forEach(({ outputs }, index) => {
    for (const { name } of outputs) {
      if (made.has(name)) refuse(`layers[${index}].outputs`, `"${name}" is made by layer ${made.get(name)} already`);
      made.set(name, index);
    }
  });
  layers.forEach(({ inputs }, index) => {
    const late = inputs.find((tensor) => (made.get(tensor) ?? -1) >= index);
    if (late !== undefined)
      refuse(`layers[${index}].inputs`, `"${late}" is made by layer ${made.get(late)}, not before`);
  });
  blocks.forEach(({ cut = [], layers: range }, index) => {
    const late = cut.find((tensor) => (made.get(tensor) ?? -1) > range![1]);
    if (late !== undefined) refuse(`blocks[${index}].cut`, `"${late}" is made by layer ${made.get(late)}, not before`);
  });
}

function checkNames({ nodes, links, source, sink, broker }: Profile): void {
  const ids = new Set<string>();
  for (const [index, { id }] of nodes.entries()) {
    if (ids.has(id)) refuse(`nodes[${index}].id`, `"${id}" is another node's id`);
    ids.add(id);
  }
  const machines = new Set([...ids, ...links.flatMap(({ from, to }) => [from, to])]);
  const known = [...machines].join(', ');
  for (const [field, machine] of Object.entries({ source, sink, broker }))
    if (machine !== undefined && !machines.has(machine))
      refuse(field, `"${machine}" is neither a node nor an end of a link; known: ${known}`);
  const seen = new Set<string>();
  for (const [index, { from, to }] of links.entries()) {
    if (from === to) refuse(`links[${index}]`, `leads from ${from} to itself`);
    if (seen.has(`${from} ${to}`)) refuse(`links[${index}]`, `is a second link from ${from} to ${to}`);
    seen.add(`${from} ${to}`);
  }
}

/** A node has one time per block, and per layer. */
function checkNode({ blocks, layers }: Profile, node: ProfiledNode, at: string): void {
  for (const field of ['block_ms', 'p10_ms', 'p90_ms'] as const)
    if (node[field] !== undefined && node[field].length !== blocks.length)
      refuse(`${at}.${field}`, `has ${node[field].length} times for ${blocks.length} blocks`);
  const checkSpread = (p10: number, p90: number, field: string): void => {
    if (p10 > p90) refuse(`${at}.${field}`, `p10_ms is ${p10}, more than p90_ms, which is ${p90}`);
  };
  node.p10_ms?.forEach((p10, block) => {
    checkSpread(p10, node.p90_ms?.[block] ?? p10, `p10_ms[${block}]`);
  });
  if (node.layer_ms !== undefined && node.layer_ms.length !== (layers ?? blocks).length)
    refuse(`${at}.layer_ms`, `has ${node.layer_ms.length} times for ${(layers ?? blocks).length} layers`);
  node.runs?.forEach(({ blocks: [first, last], p10_ms = 0, p90_ms = Infinity }, index) => {
    checkSpread(p10_ms, p90_ms, `runs[${index}]`);
    if (first > last || last >= blocks.length)
      refuse(`${at}.runs[${index}].blocks`, `[${first}, ${last}] is no range of blocks 0 to ${blocks.length - 1}`);
  });
}
