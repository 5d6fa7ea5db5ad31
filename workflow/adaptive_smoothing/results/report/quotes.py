"""What the paper says, word for word: claim → its sentence and where it stands. '…' stands for a symbol left out."""

from typing import NamedTuple


class Quote(NamedTuple):
    """A sentence of the paper and its section."""

    words: str
    section: str


QUOTES = {
    "C2": Quote(
        "We see the noise to be large whenever … around 0, with the maximum in areas slightly away from it.", "Sec. 3.1"
    ),
    "C3": Quote(
        "IVON adds different label noise on each example whereas traditional Label Smoothing defines a uniformly "
        "distributed noise for all. By further visualizing the data, we see that IVON induces stronger noise to "
        "unclear examples.",
        "Sec. 4.1",
    ),
    "C4": Quote(
        "As Fig. 4 shows, IVON has surprisingly similar smoothed label distributions as the OLS in both datasets, "
        "while IVON tends to induce stronger label noises.",
        "Sec. 4.2",
    ),
    "C5a": Quote(
        "In CIFAR-10, Fig. 5 shows that IVON outperforms Label Smoothing and SAM in different scenarios.", "Sec. 4.3.1"
    ),
    "C5b": Quote(
        "We also observe that SAM is sensitive to the choice of …, while IVON does not need to tune any "
        "hyperparameters to perform well.",
        "Sec. 4.3.1",
    ),
    "C6": Quote("Fig. 6 shows that learned … consistently outperforms fixed … in three noisy datasets.", "Sec. 4.3.1"),
    "C7a": Quote("Overall, IVON outperforms LS and SAM in all noise levels.", "Sec. 4.3.2"),
    "C7b": Quote(
        "Meanwhile, IVON can learn in very noisy scenarios while baselines can only reach around … accuracy.",
        "Sec. 4.3.2",
    ),
    "C8": Quote(
        "For instance, in pairflip 20% noise setting, IVON outperforms best LS performance by 9.1% and "
        "best SAM performance by 13.3%.",
        "Sec. 4.3.1",
    ),
    "C9": Quote(
        "The results on Clothing1M, illustrated in Fig. 9, demonstrate that IVON outperforms Label Smoothing and is "
        "comparable to SAM.",
        "Sec. 4.3.3",
    ),
    "C10": Quote(
        "IVON’s accuracy can only vary by up to 10% when the Hessian is bigger than …, and this variation is less "
        "sensitive compared to SAM’s sensitivity to ….",
        "App. B.1",
    ),
}
