import { describe, expect, it } from 'vitest';
import type { NodeChange } from '../../../central/coordinator/effects.ts';
import { BlobHolders } from '../../../central/observers/blob-holders.ts';

// Lost if these fail: a node that joins later takes a whole copy of the model from central's link.

const SKELETON = 'a'.repeat(64);
const WEIGHT = 'b'.repeat(64);
const manifest = {
  format: 'tessera-model/1' as const,
  name: 'm',
  skeleton: { sha: SKELETON, size: 1 },
  blobs: [{ sha: WEIGHT, size: 1 }],
};
const event = (node: string, name: 'ready' | 'offline', plan?: string): NodeChange => ({
  type: 'node-event',
  node,
  event: name,
  ...(plan === undefined ? {} : { plan }),
  text: '',
});

function holding(...nodes: string[]) {
  const holders = new BlobHolders((model) => (model === 'm' ? manifest : undefined));
  holders.planOffered('m', 'p');
  for (const node of nodes) holders.nodeChanged(event(node, 'ready', 'p'));
  return holders;
}

describe('BlobHolders', () => {
  it('names the nodes that are ready for a plan of the model, each first in turn', () => {
    const holders = holding('n1', 'n2');
    expect([holders.of(WEIGHT), holders.of(SKELETON)]).toEqual([
      ['n1', 'n2'],
      ['n2', 'n1'],
    ]);
    expect(holders.of('c'.repeat(64))).toEqual([]);
  });

  it('names no node that is offline or was left out, and none of a plan that was retired', () => {
    const holders = holding('n1', 'n2', 'n3');
    holders.nodeChanged(event('n1', 'offline'));
    holders.nodeChanged({ type: 'leave-out', node: 'n2', reason: '', i_ids: [] } as unknown as NodeChange);
    expect(holders.of(WEIGHT)).toEqual(['n3']);
    holders.planRetired('p');
    expect(holders.of(WEIGHT)).toEqual([]);
  });
});
