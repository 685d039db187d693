import { describe, expect, it } from 'vitest';
import { ReadingList } from './list.ts';
import { Pace } from './pace.ts';

const places = (signed: number, length = 5) =>
  Array.from({ length }, (_, index) => ({
    token: `t${index + 1}`,
    position: index + 1,
    sequence: 'SAG T1',
    signed_off: index < signed,
  }));

describe('reading list', () => {
  it('opens at the first series without sign-off, whatever the order it came in', () => {
    expect(new ReadingList(places(2).reverse(), true).open()?.token).toBe('t3');
    expect(new ReadingList(places(5), true).open()).toBeUndefined();
  });

  it('loads ahead what comes next and is not signed off', () => {
    const list = new ReadingList(places(1), true);
    expect(list.ahead('t2', 2).map((place) => place.token)).toEqual(['t3', 't4']);
    expect(list.ahead('t5', 2).map((place) => place.token)).toEqual(['t2', 't3']);
  });

  it('lets nobody skip a series', () => {
    const list = new ReadingList(places(1), true);
    expect(list.neighbour('t2', 1)).toHaveProperty('why');
    list.markSignedOff('t2');
    expect(list.neighbour('t2', 1)).toMatchObject({ place: { token: 't3' } });
  });

  it('goes back only where the study allows it', () => {
    expect(new ReadingList(places(2), true).neighbour('t3', -1)).toMatchObject({ place: { token: 't2' } });
    expect(new ReadingList(places(2), false).neighbour('t3', -1)).toHaveProperty('why');
    expect(new ReadingList(places(0), true).neighbour('t1', -1)).toHaveProperty('why');
  });
});

describe('pace', () => {
  it('says minutes only when it knows them', () => {
    const pace = new Pace(null);
    expect(pace.left(3)).toBe('3 series left');
    for (const seconds of [60, 62, 7200, 90]) pace.note(seconds);
    expect(pace.left(30)).toBe('about 31 min left');
    expect(new Pace(120).left(10)).toBe('about 20 min left');
    expect(new Pace(1).left(1)).toBe('about 1 min left');
  });
});
