import { describe, expect, test } from 'vitest';
import { FRAME_INPUT, withPreprocessing } from '../../../shared/onnx/preprocess.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { inferLayout } from '../../../shared/tiling/infer-layout.ts';
import { longestPrefix } from '../../../shared/tiling/prefix.ts';
import { TINY_SIDE, tinyNetwork } from '../../support/tiny-network.ts';

describe('layout of a preprocessed picture', () => {
  const network = resolveModel(tinyNetwork());
  const { name } = network.model.graph.inputs[0]!;
  const channels = network.specs.get(name)!.shape[1];
  const size = { tensor: name, height: TINY_SIDE, width: TINY_SIDE, scale: 255, mean: [0.5], std: [0.5] };

  test.each(channels === 1 ? (['gray'] as const) : (['rgb', 'bgr'] as const))(
    'the %s head is part of the tile stage: the frame travels in tiles, not the whole',
    (color) => {
      const prepared = resolveModel(withPreprocessing(network, { ...size, layout: 'nchw', color }));
      expect(inferLayout(prepared, FRAME_INPUT)).toMatchObject({ h: 1, w: 2, rows: TINY_SIDE, cols: TINY_SIDE });
      const { convMacs } = longestPrefix(prepared, [FRAME_INPUT], { rows: 2, cols: 2 });
      expect(convMacs).toBe(longestPrefix(network, [name], { rows: 2, cols: 2 }).convMacs);
    },
  );
});
