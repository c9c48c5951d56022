# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A plain PyTorch script, made into a task: the lines that changed are those that say ``trial``."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train(trial):  # noqa: ANN001, ANN201 - as people write it
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=64, shuffle=True)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params.lr, momentum=0.9)

    for epoch in range(trial.checkpoint.restore(model=model, optimizer=optimizer), trial.epochs):
        model.train()
        for inputs, targets in trial.watch(loader):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(images[1400:]).argmax(dim=1) == labels[1400:]).float().mean()
        trial.report(epoch + 1, val_accuracy=accuracy)
        if trial.should_stop():
            return
