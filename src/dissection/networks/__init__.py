"""Networks: architectures that load the published weights as they are, and training recipes.

    network = load_network(spec, weights_path, seed=1)     # config.Network -> torch.nn.Module in eval mode
    preprocess = Preprocess(spec.input)                    # image uint8 (h, w, 3) -> float32 (3, size, size)
"""
