export function check_edges() {}
