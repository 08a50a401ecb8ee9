// @ts-check
export function openMap() {}
