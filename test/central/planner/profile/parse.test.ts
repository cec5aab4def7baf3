import { describe, expect, test } from 'vitest';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import { bareProfile, MEASURED, measuredProfile, skipProfile, whyNoProfiles } from './profiles.ts';

/** A profile that is half understood makes plans that are wrong without a word. */

const refused = (profile: object): string => {
  try {
    parseProfile(profile);
  } catch (error) {
    expect(error).toMatchObject({ code: 'TESSERA_PROFILE', hint: expect.stringMatching(/./) });
    return (error as Error).message;
  }
  throw new Error('the profile was accepted');
};

test('unknown keys are ignored, so that later versions can say more', () => {
  const bare = bareProfile();
  expect(parseProfile({ ...bare, weather: 'fine', nodes: bare.nodes.map((node) => ({ ...node, fan: 1 })) })).toEqual(
    bare,
  );
});

describe('what is wrong is named with its field', () => {
  const bare = bareProfile();
  const skip = skipProfile();
  const [block] = bare.blocks;
  const [pi, central] = skip.nodes;

  test.each<[string, object, string]>([
    ['no blocks', { ...bare, blocks: [] }, 'blocks'],
    [
      'a time is missing',
      { ...bare, nodes: [{ ...bare.nodes[0], block_ms: [1, 2] }] },
      'nodes[0].block_ms: has 2 times for 3 blocks',
    ],
    ['a negative time', { ...bare, nodes: [{ ...bare.nodes[0], block_ms: [1, -2, 3] }] }, 'nodes[0].block_ms[1]'],
    ['two blocks of one name', { ...bare, blocks: [block, ...bare.blocks.slice(0, 2)] }, 'blocks[1].name: "a"'],
    ['a node twice', { ...bare, nodes: [...bare.nodes, bare.nodes[0]] }, 'nodes[3].id: "pi"'],
    ['a link twice', { ...bare, links: [...bare.links, bare.links[0]] }, 'links[3]: is a second link from pi to box'],
    ['a link to itself', { ...bare, links: [{ from: 'pi', to: 'pi', rtt_ms: 1, mbps: 1 }] }, 'links[0]'],
    [
      'an unknown source',
      { ...bare, source: 'mars' },
      'source: "mars" is neither a node nor an end of a link; known: pi, box, vm',
    ],
    ['a link without bandwidth', { ...bare, links: [{ ...bare.links[0], mbps: 0 }] }, 'links[0].mbps'],
    ['cuts without layers', { ...bare, blocks: [{ ...block, cut: ['a'] }, ...bare.blocks.slice(1)] }, 'blocks[0]: has'],
    ['layers without cuts', { ...skip, blocks: [{ name: 'all', output_bytes: 1 }] }, 'blocks[0]: needs'],
    [
      'blocks that leave out layers',
      { ...skip, blocks: [{ ...skip.blocks[0], layers: [1, 3] }] },
      'blocks[0].layers: [1, 3]',
    ],
    [
      'blocks that end early',
      { ...skip, blocks: skip.blocks.slice(0, 1) },
      'blocks: have 2 layers, and the profile has 4',
    ],
    [
      'a layer that reads what a later one makes',
      { ...skip, layers: skip.layers!.toReversed() },
      'layers[0].inputs: "three-out" is made by layer 1',
    ],
    [
      'a tensor made twice',
      { ...skip, layers: [...skip.layers!.slice(0, 3), skip.layers![0]] },
      'layers[3].outputs: "one-out"',
    ],
    [
      'a cut of what is not made yet',
      { ...skip, blocks: [{ ...skip.blocks[0], cut: ['three-out'] }, skip.blocks[1]] },
      'blocks[0].cut: "three-out"',
    ],
    [
      'a run beyond the end',
      { ...skip, nodes: [{ ...pi, runs: [{ blocks: [1, 2], ms: 1 }] }, central] },
      'nodes[0].runs[0].blocks: [1, 2]',
    ],
    [
      'spreads of blocks that are none',
      { ...bare, nodes: [{ ...bare.nodes[0], p10_ms: [1, 3, 1], p90_ms: [1, 2, 1] }] },
      'nodes[0].p10_ms[1]: p10_ms is 3, more than p90_ms, which is 2',
    ],
    [
      'the spread of a run that is none',
      { ...skip, nodes: [{ ...pi, runs: [{ blocks: [0, 1], ms: 1, p10_ms: 2, p90_ms: 1 }] }, central] },
      'nodes[0].runs[0]: p10_ms is 2',
    ],
    ['a model without its SHA-256', { ...skip, sha256: undefined }, 'sha256'],
  ])('%s', (_, profile, message) => {
    expect(refused(profile)).toContain(`profile: ${message}`);
  });
});

test('the profiles that Scission measured are read', ({ skip }) => {
  const why = whyNoProfiles();
  skip(why !== undefined, why);
  for (const [network, link] of MEASURED) expect(measuredProfile(network, link).nodes).toHaveLength(5);
});
