import { describe, expect, it } from 'vitest';
import { labelOf, parseLabels } from '../../../shared/model/labels.ts';

describe('parseLabels', () => {
  it('reads one label a line and drops empty lines at the end only, so that indices stay right', () => {
    expect(parseLabels('\uFEFFcat\r\n\r\n dog \n\n\n')).toEqual(['cat', '', 'dog']);
    expect(parseLabels('')).toEqual([]);
  });

  it('takes WordNet ids off, as in the lists of ImageNet', () => {
    expect(parseLabels('n01440764 tench, Tinca tinca\nn1 not an id')).toEqual(['tench, Tinca tinca', 'n1 not an id']);
  });

  it('cuts what MQTT apps would refuse', () => {
    expect(parseLabels('x'.repeat(300))[0]).toHaveLength(255);
  });
});

describe('labelOf', () => {
  it('names a class without a label by its number', () => {
    expect(labelOf(['cat', ''], 0)).toBe('cat');
    expect(labelOf(['cat', ''], 1)).toBe('class 1');
    expect(labelOf([], 17)).toBe('class 17');
  });
});
