export const certificateInfo = (_o: unknown): any[] => [];
