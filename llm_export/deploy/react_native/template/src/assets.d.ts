// What Metro makes of a file of the model: the number of an asset.
declare module '*.pte' {
  const asset: number;
  export default asset;
}
declare module '*.bin' {
  const asset: number;
  export default asset;
}
