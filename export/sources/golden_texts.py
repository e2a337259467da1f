"""Texts for parity checks and golden scores, written for Litmus; none comes from a data set."""

GOLDEN = (
    "The parcel arrived two days late, but nothing was broken.",
    "Hi",
    "Could you please tell me how to change the address on my account before Friday?",
    "Water boils at 100 °C at sea level and at about 93 °C in La Paz, 3,640 m up.",
    "Das Café an der Straße öffnet um 7:30 Uhr. 次の電車は何時ですか。 Спасибо! 🙂",
    "We compared twelve bridges built between 1890 and 1930. Nine used riveted steel, two were reinforced concrete, "
    "and one, the oldest, still stood on wooden piles that divers inspect every spring. Repairs were cheapest where "
    "drawings had survived; where they had not, engineers measured every member again before they could say what it "
    "would carry.",
)
