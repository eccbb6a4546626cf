"""Training by several processes: who they are, what adds up their tensors, who watches them."""
