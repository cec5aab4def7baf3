import { expect, it } from 'vitest';
import type { EndedFrame } from '../../../central/effects.ts';
import { Traces } from '../../../central/observers/traces.ts';
import { frameTrace } from '../../../shared/protocol/messages/trace.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { emptyResult } from '../../support/result-object.ts';

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

it('a frame is traced only where somebody asked, as often as they asked, and with its trace context', () => {
  const sent: unknown[] = [];
  const traces = new Traces({
    publisher: { sample: (topic, payload) => sent.push([topic, frameTrace.parse(JSON.parse(payload))]) },
    topics: topics('t'),
    known: (camera) => (camera === 'front' || camera === 'back' ? {} : undefined),
    answer: async () => {},
    throttledLog: { warn() {} },
  });
  const end = (camera: string, id: string): void => {
    const steps = { accepted_ms: 1, opened_ms: 2, finishing_ms: 3 };
    const frame = { end: { trace: [], steps, latency_ms: 4 }, arrival: { traceparent } } as unknown as EndedFrame;
    traces.frameEnded(frame, emptyResult({ camera, id, latency_ms: 4 }));
  };
  end('front', '1-1');
  expect(traces.request({ transaction: 'x', camera: 'front', frames: 2 })).toEqual({ topic: 't/trace/front' });
  for (const [camera, id] of [
    ['front', '1-2'],
    ['back', '1-3'],
    ['front', '1-4'],
    ['front', '1-5'],
  ] as const)
    end(camera, id);
  expect(sent).toMatchObject([
    ['t/trace/front', { id: '1-2', traceparent, spans: [{ kind: 'wait' }, { kind: 'decode' }, { kind: 'tail' }] }],
    ['t/trace/front', { id: '1-4' }],
  ]);
  expect(() => traces.request({ transaction: 'x', camera: 'nobody', frames: 1 })).toThrow('knows no camera "nobody"');
  traces.request({ transaction: 'x', camera: 'back', frames: 1 });
  traces.cameraForgotten('back');
  end('back', '1-6');
  expect(sent).toHaveLength(2);
});
