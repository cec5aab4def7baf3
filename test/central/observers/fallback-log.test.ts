import { expect, test } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { FallbackLog } from '../../../central/observers/fallback-log.ts';
import type { ResultObject } from '../../../shared/protocol/messages/result.ts';

/** Lost if this fails: central computes for the nodes and nothing says so, or every frame says so. */

test('a fallback is logged once for each reason, and again after nodes have computed for the model', () => {
  const lines: string[] = [];
  const log = new FallbackLog({ warn: (_subject, text) => void lines.push(text) });
  const ended = (model: string, nodes: string[], reason?: 'no-nodes' | 'failed') => {
    const fallback = reason === undefined ? {} : { fallback: { reason, text: reason } };
    log.frameEnded({} as EndedFrame, { model, nodes, ...fallback } as unknown as ResultObject);
  };
  ended('a', ['central'], 'no-nodes');
  ended('a', ['central'], 'no-nodes');
  ended('b', ['central'], 'no-nodes');
  ended('a', ['central']);
  ended('a', ['central'], 'no-nodes');
  expect(lines).toHaveLength(2);
  ended('a', ['central', 'pi-1'], 'failed');
  expect(lines).toHaveLength(3);
  ended('a', ['central', 'pi-1']);
  ended('a', ['central'], 'failed');
  expect(lines).toHaveLength(4);
});
